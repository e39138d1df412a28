//! Peers that do not read, and senders that wait for them.

mod common;

use common::*;
use lakh_http::{App, testing::TestServer};
use lakh_ws::{
    Callbacks, Config, Message, Payload, SendError, Socket, WebSocket, WebSocketRoutes, callbacks,
    proto::Opcode,
};
use std::{
    cell::{Cell, RefCell},
    future::Future,
    io::{ErrorKind, Write},
    pin::pin,
    rc::Rc,
    sync::mpsc::{self, Sender},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Sends until the server takes no more; how many bytes it took.
fn send_until_full(client: &Client, bytes: &[u8]) -> usize {
    let mut stream = client.stream.try_clone().unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    loop {
        assert!(sent < 256 << 20, "the server takes everything");
        match stream.write(&bytes[sent % bytes.len()..]) {
            Ok(n) => sent += n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_write_timeout(Some(SAFETY_NET)).unwrap();
    sent
}

/// The largest queue that its socket has had.
struct Watched(Rc<Cell<usize>>);

impl Callbacks for Watched {
    fn on_message(&mut self, socket: &Socket, message: Payload<'_>) {
        let sent = socket.send(message);
        self.0.set(self.0.get().max(socket.queued()));
        sent.unwrap();
    }
}

#[test]
fn a_peer_that_sends_and_does_not_read_is_read_from_no_longer() {
    let server = TestServer::start(|_| {
        let most = Rc::new(Cell::new(0));
        let watched = Rc::clone(&most);
        echoes(&Config::new())
            .ws("/watched", callbacks(move || Watched(Rc::clone(&watched))))
            .get("/most", move || most.get().to_string())
    });
    server.get("/most").send().text();
    let left = Left::of(&server); // with the connection of that request
    for path in ["/watched", "/async"] {
        let mut others = STYLES.map(|path| Client::open(&server, path));
        let mut client = Client::open(&server, path);
        let message = frame(Opcode::Binary, &[7; 1000]);
        let sent = send_until_full(&client, &message);
        for other in &mut others {
            other.text("hello");
            other.expect_text("hello");
        }
        let most: usize = server.get("/most").send().text().parse().unwrap();
        assert!(most < 256 * 1024, "{most} bytes were queued");
        // Once it reads, all of it comes back.
        let (whole, rest) = (sent / message.len(), sent % message.len());
        let mut stream = client.stream.try_clone().unwrap();
        let last = message[rest..].to_vec();
        let writer = std::thread::spawn(move || stream.write_all(&last).unwrap());
        for _ in 0..whole + usize::from(rest > 0) {
            client.expect(Opcode::Binary, [7; 1000]);
        }
        writer.join().unwrap();
    }
    left.expect_the_same(&server);
}

/// Sends 4 MiB in pieces of 16 KiB, of which the kernels hold a part.
const PIECES: u32 = 256;

fn piece(number: u32) -> Message {
    Message::from(number.to_be_bytes().repeat(4096))
}

#[track_caller]
fn expect_pieces(client: &mut Client) {
    (0..PIECES).for_each(|number| client.expect(Opcode::Binary, piece(number).as_bytes()));
}

#[test]
fn send_wait_waits_for_room_and_goes_on_when_there_is_some() {
    async fn floods(socket: WebSocket, waits: Sender<u32>) {
        for number in 0..PIECES {
            let mut sending = pin!(socket.send(piece(number)));
            let is_full = socket.socket().queued() >= 32 * 1024;
            if is_full {
                waits.send(number).unwrap();
            }
            sending.as_mut().await.unwrap();
            assert!(socket.socket().queued() <= 32 * 1024 + 20_000 + 64 * 1024);
        }
    }
    let (tell, told) = mpsc::channel();
    let config = Config::new().queue(32 * 1024);
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().ws_with("/", config.clone(), move |socket: WebSocket| floods(socket, tell.clone()))
    });
    let mut client = Client::open(&server, "/");
    let first = told.recv_timeout(SAFETY_NET).expect("it has to wait");
    assert!(first < PIECES);
    expect_pieces(&mut client);
    client.expect_close_frame(1000);
}

#[test]
fn tasks_of_others_wait_for_room_and_are_refused_when_the_connection_ends() {
    async fn waits_elsewhere(mut socket: WebSocket, tell: Sender<SendError>) {
        let sender = socket.socket().clone();
        lakh_core::spawn_detached(async move {
            loop {
                if let Err(error) = sender.send_wait(vec![1; 10_000]).await {
                    return tell.send(error).unwrap();
                }
            }
        });
        while socket.recv().await.is_some() {}
    }
    let (tell, told) = mpsc::channel();
    let config = Config::new().queue(32 * 1024);
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new()
            .ws_with("/", config.clone(), move |socket: WebSocket| waits_elsewhere(socket, tell.clone()))
    });
    let left = Left::of(&server);
    let mut client = Client::open(&server, "/");
    for _ in 0..2000 {
        client.expect(Opcode::Binary, [1; 10_000]);
    }
    drop(client);
    assert_eq!(told.recv_timeout(SAFETY_NET).unwrap(), SendError::Closed);
    left.expect_the_same(&server);
}

/// Sends as much as it may, and goes on when it is told that there is room.
struct Floods {
    next: u32,
    rooms: u32,
}

impl Floods {
    fn go_on(&mut self, socket: &Socket) {
        while self.next < PIECES {
            match socket.send(&piece(self.next)) {
                Ok(()) => self.next += 1,
                Err(error) => return assert_eq!(error, SendError::Full),
            }
        }
        socket.send(&format!("{} rooms", self.rooms.min(2))).unwrap();
    }
}

impl Callbacks for Floods {
    fn on_message(&mut self, socket: &Socket, _: Payload<'_>) {
        self.go_on(socket);
    }

    fn on_room(&mut self, socket: &Socket) {
        assert_eq!(socket.queued(), 0);
        self.rooms += 1;
        self.go_on(socket);
    }
}

#[test]
fn callbacks_are_told_when_there_is_room_again() {
    let config = Config::new().queue(200 * 1024);
    let server = TestServer::start(move |_| {
        App::new().ws_with("/", config.clone(), callbacks(|| Floods { next: 0, rooms: 0 }))
    });
    let mut client = Client::open(&server, "/");
    client.text("go");
    expect_pieces(&mut client);
    client.expect_text("2 rooms");
}

#[test]
fn a_dropped_send_has_sent_nothing_and_waits_no_longer() {
    async fn gives_up(mut socket: WebSocket) {
        while socket.socket().send(&vec![2; 10_000]).is_ok() {}
        let sender = socket.socket().clone();
        let mut polled = 0;
        for _ in 0..100 {
            let mut sending = pin!(sender.send_wait("given up"));
            polled +=
                usize::from(sending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        sender.send_wait(format!("{polled} given up")).await.unwrap();
        socket.recv().await;
    }
    let config = Config::new().queue(100_000);
    let server = TestServer::start(move |_| App::new().ws_with("/", config.clone(), gives_up));
    let mut client = Client::open(&server, "/");
    loop {
        let frame = client.frame().unwrap();
        if frame.opcode == Opcode::Text {
            break assert_eq!(frame.payload, b"100 given up");
        }
    }
}

#[test]
fn a_peer_that_takes_nothing_is_cut_after_the_write_timeout() {
    let config = Config::new().write_timeout(Duration::from_secs(2)).queue(1 << 20);
    let (tell, told) = mpsc::channel();
    let server = TestServer::start(move |_| {
        let tell = tell.clone();
        App::new().ws_with("/", config.clone(), move |socket: WebSocket| {
            let tell = tell.clone();
            async move {
                while socket.send(vec![3; 100_000]).await.is_ok() {}
                tell.send(socket.close_info().unwrap()).unwrap();
            }
        })
    });
    let left = Left::of(&server);
    let _client = Client::open(&server, "/");
    let info = told.recv_timeout(SAFETY_NET).unwrap();
    assert_eq!((u16::from(info.code), &*info.reason), (1006, "the peer takes too little"));
    left.expect_the_same(&server);
}

/// One shard's queue is the sum of all, and comes back to nothing.
#[test]
fn all_sockets_of_a_shard_share_a_measure_that_comes_back_to_nothing() {
    let config = Config::new().queue(10 << 20).shard_queue(1 << 20);
    let server = TestServer::start(move |_| {
        let sockets: Rc<RefCell<Vec<Socket>>> = Rc::default();
        let all = Rc::clone(&sockets);
        struct Joins(Rc<RefCell<Vec<Socket>>>);
        impl Callbacks for Joins {
            fn on_open(&mut self, socket: &Socket) {
                self.0.borrow_mut().push(socket.clone());
            }
            fn on_message(&mut self, _: &Socket, _: Payload<'_>) {}
        }
        App::new().ws_with("/", config.clone(), callbacks(move || Joins(Rc::clone(&all)))).get(
            "/flood",
            move || {
                let sockets = sockets.borrow();
                let open: Vec<&Socket> = sockets.iter().filter(|socket| socket.is_open()).collect();
                let payload = vec![4; 100_000];
                let mut left = 1000;
                while left > 0 && open.iter().filter(|socket| socket.send(&payload).is_ok()).count() > 0 {
                    left -= 1;
                }
                open.iter().map(|socket| socket.queued()).sum::<usize>().to_string()
            },
        )
    });
    server.get("/flood").send().text();
    let left = Left::of(&server); // with the connection of that request
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..10).map(|_| Client::open(&server, "/")).collect();
        clients.iter_mut().for_each(Client::expect_alive);
        let queued: usize = server.get("/flood").send().text().parse().unwrap();
        assert!((1 << 20..(1 << 20) + 1_100_000).contains(&queued), "{queued}");
        drop(clients);
        left.expect_the_same(&server);
    }
}

#[test]
fn a_wait_for_room_that_is_polled_again_goes_on_with_the_same_place() {
    async fn polls_often(mut socket: WebSocket) {
        while socket.socket().send(&vec![2; 10_000]).is_ok() {}
        let sender = socket.socket().clone();
        let mut sending = pin!(sender.send_wait("at last"));
        std::future::poll_fn(|cx| {
            for _ in 0..100 {
                if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
                    sent.unwrap();
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        })
        .await;
        socket.recv().await;
    }
    let config = Config::new().queue(100_000);
    let server = TestServer::start(move |_| App::new().ws_with("/", config.clone(), polls_often));
    let mut client = Client::open(&server, "/");
    let texts = std::iter::from_fn(|| client.frame()).find(|frame| frame.opcode == Opcode::Text);
    assert_eq!(texts.unwrap(), Frame::text("at last"));
}
