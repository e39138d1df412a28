//! A handler's own connection and the topics.

use lakh_http::{App, Server, testing::TestServer};
use lakh_ws::{
    Config, SubscribeError, Topics, WebSocket, WebSocketRoutes,
    proto::{Opcode, encode},
};
use std::io::{Read, Write};

/// Does as it is told: `+topic`, `-topic`, or text for the topic `t`; says what has become of it.
async fn obey(mut socket: WebSocket) {
    while let Some(message) = socket.recv().await {
        let text = message.as_text().unwrap_or_default().to_owned();
        let done = match text.split_at(1) {
            ("+", topic) => format!("{:?}", socket.subscribe(topic)),
            ("-", topic) => format!("{:?}", socket.unsubscribe(topic)),
            _ => {
                socket.publish("t", text).unwrap();
                continue;
            }
        };
        let _ = socket.send(done).await;
    }
}

fn ask(stream: &mut (impl Read + Write), text: &str) -> String {
    let mut frame = Vec::new();
    encode::write_masked(&mut frame, Opcode::Text, text.as_bytes(), [1, 2, 3, 4]);
    stream.write_all(&frame).unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 0x81, "a text of one frame");
    let mut payload = vec![0; usize::from(head[1])];
    stream.read_exact(&mut payload).unwrap();
    String::from_utf8(payload).unwrap()
}

#[test]
fn a_handler_subscribes_publishes_and_unsubscribes_by_its_socket() {
    let topics = Topics::new();
    let config = Config::new().topics(&topics).max_subscriptions(1);
    let server = TestServer::from_server(
        Server::new(move |_| App::new().ws_with("/", config.clone(), obey)).shards(1),
    );
    let request = server.get("/").header("connection", "upgrade").header("upgrade", "websocket");
    let request =
        request.header("sec-websocket-version", "13").header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    let mut stream = request.send().into_upgraded();
    assert_eq!(ask(&mut stream, "+t"), "Ok(true)");
    assert_eq!(ask(&mut stream, "+t"), "Ok(false)");
    assert_eq!(ask(&mut stream, "+u"), format!("{:?}", Err::<bool, _>(SubscribeError::TooMany)));
    assert_eq!(topics.counts(), [("t".to_owned(), 1)]);
    assert_eq!(ask(&mut stream, "hello"), "hello");
    assert_eq!(ask(&mut stream, "-u"), "false");
    assert_eq!(ask(&mut stream, "-t"), "true");
    assert_eq!(topics.counts(), []);
}
