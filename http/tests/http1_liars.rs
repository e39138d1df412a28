//! Bodies that are not what their heads say, stop half-way or come too slowly, for handlers that read them in every
//! way: each ends in time, with an answer where one is possible, and nothing of it is left.

mod common;

use common::{TestServer, eventually, get, pause_of_a_slow_peer};
use lakh_http::{
    App, Bytes, HandlerResult, Limits, Request, RequestBody,
    extract::{Form, Json, Multipart},
};
use socket2::SockRef;
use std::{io::Write, time::Duration};

const SECOND: Duration = Duration::from_secs(1);
/// Of a route that reads its body.
const LIMIT: u64 = 10_000;

/// A path, the type of what is sent to it, and a body that it accepts.
struct Reader {
    path: &'static str,
    content_type: &'static str,
    body: String,
}

fn readers() -> Vec<Reader> {
    let numbers = vec!["1"; 400].join(",");
    let form = "--X\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    let all = [
        ("/json", "application/json", format!("[{numbers}]")),
        ("/form", "application/x-www-form-urlencoded", format!("a={numbers}")),
        ("/multipart", "multipart/form-data; boundary=X", format!("{form}{numbers}\r\n--X--\r\n")),
        ("/skips", "multipart/form-data; boundary=X", format!("{form}{numbers}\r\n--X--\r\n")),
        ("/bytes", "x/y", numbers.clone()),
        ("/vec", "x/y", numbers.clone()),
        ("/string", "text/plain", numbers.clone()),
        ("/stream", "x/y", numbers.clone()),
        ("/request", "x/y", numbers.clone()),
        ("/task", "x/y", numbers),
    ];
    all.map(|(path, content_type, body)| Reader { path, content_type, body }).into()
}

async fn multipart(mut form: Multipart) -> HandlerResult<()> {
    while let Some(field) = form.next_field().await? {
        field.bytes().await?;
    }
    Ok(())
}

async fn skips(mut form: Multipart) -> HandlerResult<()> {
    while form.next_field().await?.is_some() {}
    Ok(())
}

async fn stream(mut body: RequestBody) -> HandlerResult<()> {
    while let Some(chunk) = body.chunk().await {
        chunk?;
    }
    Ok(())
}

/// Another task reads; the handler waits for it.
async fn task(body: RequestBody) -> HandlerResult<()> {
    lakh_core::spawn(stream(body)).await?
}

fn app() -> App {
    App::new()
        .get("/", || "hello")
        .post("/json", async |_: Json<Vec<u8>>| ())
        .post("/form", async |_: Form<Vec<(String, String)>>| ())
        .post("/multipart", multipart)
        .post("/skips", skips)
        .post("/bytes", async |_: Bytes| ())
        .post("/vec", async |_: Vec<u8>| ())
        .post("/string", async |_: String| ())
        .post("/stream", stream)
        .post("/request", async |mut request: Request| request.body_mut().bytes().await.map(drop))
        .post("/task", task)
}

/// What a shard holds: guards, tasks, sources, timers.
fn held(server: &TestServer) -> [u64; 4] {
    let metrics = server.running.shards().next().unwrap().metrics();
    [metrics.guards(), metrics.tasks(), metrics.sources(), metrics.timers()]
}

/// How a client goes on behind what it has sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    /// It sends no more, and says so.
    Finishes,
    /// It sends nothing, and says nothing.
    Stops,
    /// A byte now and then.
    Trickles,
    /// It is gone, without a word or with a reset.
    Leaves,
    Resets,
}

/// What a liar sends to this reader, how it goes on, and the statuses of the answers.
fn lies(reader: &Reader) -> Vec<(Vec<u8>, Then, &'static [u16])> {
    let Reader { path, content_type, body } = reader;
    let head = |framing: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n{framing}\r\n\r\n")
    };
    let sized = |length: usize, body: &str| (head(&format!("Content-Length: {length}")) + body).into_bytes();
    let chunked = |chunks: &str| (head("Transfer-Encoding: chunked") + chunks).into_bytes();
    let (whole, half) = (body.len(), &body[..body.len() / 2]);
    let half_chunk = format!("{whole:x}\r\n{half}");
    let wrong_chunk = format!("{:x}\r\n{half}and more", half.len());
    let rest_is_no_request = sized(whole, &format!("{body}and more\r\n\r\n"));
    let too_long = format!("{:x}\r\n{}", LIMIT + 1, "1".repeat(LIMIT as usize + 1));
    let mut lies: Vec<(Vec<u8>, Then, &'static [u16])> = vec![
        (rest_is_no_request, Then::Stops, &[200, 400]),
        (chunked(&wrong_chunk), Then::Stops, &[400]),
        (chunked("1\r\n1\r\nx"), Then::Stops, &[400]),
        (chunked(&too_long), Then::Stops, &[413]),
        (sized(LIMIT as usize + 1, half), Then::Stops, &[413]),
        (sized(usize::MAX, half), Then::Finishes, &[413]),
    ];
    for cut in [sized(whole, half), sized(whole, ""), chunked(&half_chunk), chunked("")] {
        lies.push((cut.clone(), Then::Finishes, &[400]));
        lies.push((cut.clone(), Then::Stops, &[408]));
        lies.push((cut.clone(), Then::Leaves, &[]));
        lies.push((cut, Then::Resets, &[]));
    }
    lies.push((sized(whole, ""), Then::Trickles, &[408]));
    lies.push((chunked(&format!("{whole:x}\r\n")), Then::Trickles, &[408]));
    lies
}

#[test]
fn bodies_that_lie_end_in_time_and_leave_nothing_behind() {
    let limits = Limits { body: LIMIT, stall: SECOND, rate: 1000, linger: SECOND, ..Limits::default() };
    let server = TestServer::with_limits(limits, |_| app());
    server.exchange(get("/"));
    eventually("the first client is forgotten", || held(&server)[0] == 0 && held(&server)[1] == 1);
    let before = held(&server);
    let mut left = Vec::new();
    let mut trickling = Vec::new();
    for reader in readers() {
        let good = format!(
            "POST {} HTTP/1.1\r\nHost: a\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n{}",
            reader.path,
            reader.content_type,
            reader.body.len(),
            reader.body,
        );
        assert_eq!(server.exchange(good).status, 200, "{}", reader.path);
        for (bytes, then, statuses) in lies(&reader) {
            let mut client = server.connect();
            client.try_send(&bytes);
            match then {
                Then::Finishes => client.finish_sending(),
                Then::Stops => {}
                Then::Trickles => trickling.push(client.stream.try_clone().unwrap()),
                Then::Leaves => continue,
                Then::Resets => {
                    SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).unwrap();
                    continue;
                }
            }
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(150)]).into_owned();
            left.push((client, statuses, format!("{start:?}, {then:?}")));
        }
    }
    // Until the server has ended all of these connections.
    while !trickling.is_empty() {
        trickling.retain_mut(|stream| stream.write_all(b"1").is_ok());
        pause_of_a_slow_peer(Duration::from_millis(100));
    }
    for (mut client, statuses, what) in left {
        for status in statuses {
            // A trickle may have made the kernel drop the answer with the connection.
            if !what.ends_with("Trickles") {
                assert_eq!(client.answer().status, *status, "{what}");
            }
        }
        client.rest();
    }
    eventually("all is as it was before", || held(&server) == before);
    assert_eq!(server.exchange(get("/")).text(), "hello");
}
