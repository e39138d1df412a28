//! The floor of a client with very many WebSockets: opens them, has one message go to all, and says how long both took.
//!
//! It does what no client can do without and checks nothing: a socket from a port that was chosen beforehand, a
//! handshake that is the same for all, an answer that is read up to its blank line. Each thread has a descriptor
//! table of its own. The server is to send a text message to all sockets of the path, as `ws_floor` and lakh's
//! `ws_echo` do at `/topic/…`.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use lakh_compare::flags::Flags;
use lakh_compare::sys::{self, Epoll, Event};
use lakh_compare::ws::{self, Message};
use lakh_compare::{Context, Error, Result};

const HELP: &str = "\
ws_connect --to ADDRESS [options]     opens very many WebSockets over loopback, and has one message go to all

  --to ADDRESS       server, as 127.0.0.1:8080
  --connections N    1000000
  --path PATH        /topic/all
  --opening N        how many are being opened at a time, by all threads together: 2048
  --seconds S        gives up after so long: 300
";
/// A thread has connections from one address, whose ports begin here.
const FIRST_PORT: usize = 10_000;
/// Under the least of the usual limits of open files, 20,000.
const MOST_OF_ONE_THREAD: usize = 19_000;
const MESSAGE_BYTES: usize = 64;
const BLANK_LINE: &[u8] = b"\r\n\r\n";

fn main() -> ExitCode {
    lakh_compare::error::exit_with("ws_connect", run())
}

struct Plan {
    to: SocketAddr,
    request: Vec<u8>,
    /// By one thread.
    opening: usize,
    message: Message,
    end: Instant,
    open: AtomicUsize,
    received: AtomicUsize,
    step: Barrier,
}

fn run() -> Result<()> {
    let mut flags = Flags::from_env();
    let mut to = None;
    let (mut connections, mut opening, mut seconds) = (1_000_000, 2048, 300);
    let mut path = "/topic/all".to_owned();
    while let Some(name) = flags.next_flag()? {
        match name.as_str() {
            "--to" => to = Some(flags.parsed()?),
            "--connections" => connections = flags.number(1, 2_000_000)? as usize,
            "--opening" => opening = flags.number(1, 1 << 20)? as usize,
            "--seconds" => seconds = flags.number(1, 3600)?,
            "--path" => path = flags.value()?,
            "--help" => {
                print!("{HELP}");
                return Ok(());
            }
            _ => return flags.unknown(),
        }
    }
    let to: SocketAddr = to.ok_or_else(|| Error::new("--to is needed; see --help"))?;
    if !to.ip().is_loopback() {
        return Err(Error::new(format!("{to} is not on loopback")));
    }
    let files = sys::raise_open_files().context(|| "open files".to_owned())? as usize;
    let threads = connections.div_ceil(MOST_OF_ONE_THREAD.min(files.saturating_sub(64)).max(1));
    let plan = Plan {
        to,
        request: ws::request(&path, to),
        opening: opening.div_ceil(threads),
        message: Message::text(MESSAGE_BYTES),
        end: Instant::now() + Duration::from_secs(seconds),
        open: AtomicUsize::new(0),
        received: AtomicUsize::new(0),
        step: Barrier::new(threads + 1),
    };
    thread::scope(|scope| {
        for thread in 0..threads {
            // The first ones have one more, if it does not come out even.
            let share = (connections + threads - 1 - thread) / threads;
            let plan = &plan;
            scope.spawn(move || {
                if let Err(error) = Client::new(plan, thread, share).and_then(|mut client| client.run()) {
                    eprintln!("ws_connect: {error}");
                    // The others wait for this thread.
                    std::process::exit(1);
                }
            });
        }
        plan.step.wait();
        let start = Instant::now();
        plan.step.wait();
        let (open, took) = (plan.open.load(Relaxed), start.elapsed());
        println!("connected {open} in {:.2} s", took.as_secs_f64());
        plan.step.wait();
        let start = Instant::now();
        plan.step.wait();
        let (received, took) = (plan.received.load(Relaxed), start.elapsed());
        println!("broadcast to {received}, the last one after {:.2} s", took.as_secs_f64());
    });
    Ok(())
}

struct Client<'a> {
    plan: &'a Plan,
    number: usize,
    share: usize,
    epoll: Epoll,
    sockets: Vec<OwnedFd>,
}

impl<'a> Client<'a> {
    fn new(plan: &'a Plan, number: usize, share: usize) -> Result<Self> {
        sys::leave_table().context(|| "a descriptor table of its own".to_owned())?;
        let epoll = Epoll::new().context(|| "epoll_create".to_owned())?;
        Ok(Client { plan, number, share, epoll, sockets: Vec::with_capacity(share) })
    }

    fn run(&mut self) -> Result<()> {
        let plan = self.plan;
        plan.step.wait();
        self.connect()?;
        plan.open.fetch_add(self.sockets.len(), Relaxed);
        plan.step.wait();
        plan.step.wait();
        if self.number == 0 {
            let sent = sys::send(self.sockets[0].as_raw_fd(), &plan.message.masked);
            if sent != plan.message.masked.len() as isize {
                return Err(Error::new("the message was not sent"));
            }
        }
        let received = self.receive_all()?;
        plan.received.fetch_add(received, Relaxed);
        plan.step.wait();
        // Otherwise the next run would find its ports in TIME_WAIT.
        let reset = self.sockets.iter().try_for_each(sys::reset_on_close);
        reset.context(|| "a socket".to_owned())
    }

    fn connect(&mut self) -> Result<()> {
        let mut events = [Event { events: 0, u64: 0 }; 256];
        let mut buffer = [0; 1024];
        let mut sent = vec![false; self.share];
        let mut open = 0;
        while open < self.share {
            while self.sockets.len() < self.share && self.sockets.len() - open < self.plan.opening {
                self.begin()?;
            }
            let got = self.wait(&mut events, "connections are not open")?;
            for event in &events[..got] {
                let index = event.u64 as usize;
                let fd = self.sockets[index].as_raw_fd();
                if !sent[index] {
                    if sys::send(fd, &self.plan.request) != self.plan.request.len() as isize {
                        return Err(Error::new("a request was not sent"));
                    }
                    sent[index] = true;
                    continue;
                }
                let got = sys::recv(fd, &mut buffer);
                if got > 0 && buffer[..got as usize].ends_with(BLANK_LINE) {
                    open += 1;
                } else if got >= 0 {
                    return Err(Error::new("an answer ends where it should not, or comes in pieces"));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        let index = self.sockets.len();
        let [high, low] = (self.number as u16 + 1).to_be_bytes();
        let port = (FIRST_PORT + index) as u16;
        let socket =
            sys::bound_socket(Ipv4Addr::new(127, 1, high, low), port).context(|| "a socket".to_owned())?;
        sys::connect(&socket, self.plan.to).context(|| "connect".to_owned())?;
        let events = sys::EPOLLIN | sys::EPOLLOUT | sys::EPOLLET;
        self.epoll.add(socket.as_raw_fd(), events, index as u64).context(|| "epoll_ctl".to_owned())?;
        self.sockets.push(socket);
        Ok(())
    }

    fn receive_all(&mut self) -> Result<usize> {
        let mut events = [Event { events: 0, u64: 0 }; 256];
        let mut buffer = [0; 1024];
        let mut received = 0;
        while received < self.share {
            let got = self.wait(&mut events, "messages have not come")?;
            for event in &events[..got] {
                match sys::recv(self.sockets[event.u64 as usize].as_raw_fd(), &mut buffer) {
                    got if got == self.plan.message.plain.len() as isize => received += 1,
                    // Told of room to send.
                    -1 => {}
                    _ => return Err(Error::new("something else than the message came")),
                }
            }
        }
        Ok(received)
    }

    fn wait(&self, events: &mut [Event], or: &str) -> Result<usize> {
        let left = self.plan.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::new(format!("it takes too long: {or}")));
        }
        self.epoll.wait(events, left.as_millis().max(1) as i32).context(|| "epoll_wait".to_owned())
    }
}
