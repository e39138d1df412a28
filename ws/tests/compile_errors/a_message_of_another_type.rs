//~ Message` implements `From<&str>`
//~ Message` implements `From<Vec<u8>>`

use lakh_ws::WebSocket;

pub async fn handler(socket: WebSocket) {
    let _ = socket.send(5).await;
}
