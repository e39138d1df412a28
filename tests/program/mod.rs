//! An example's program, started with two shards on a free port.
#![allow(dead_code)] // each test binary uses a part
#![allow(unreachable_pub)]

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

pub struct Program {
    child: Child,
    pub addr: SocketAddr,
}

impl Program {
    pub fn start(example: &str) -> Self {
        Self::start_with(example, &[])
    }

    /// With flags of its own.
    pub fn start_with(example: &str, args: &[&OsStr]) -> Self {
        let mut child = Command::new(Self::path(example))
            .args(["--listen", "127.0.0.1:0", "--shards", "2"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo builds the example");
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim_end().strip_prefix("listening on http://").expect("where it listens");
        Program { addr: addr.parse().unwrap(), child }
    }

    /// Where cargo puts the example.
    pub fn path(example: &str) -> PathBuf {
        // target/debug/deps/api-… → target/debug/examples/api
        let test = std::env::current_exe().unwrap();
        test.parent().unwrap().parent().unwrap().join("examples").join(example)
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Sends a request that ends its connection, and gives all that comes.
    pub fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Tells it to end, and waits for that.
    pub fn end(&mut self) -> ExitStatus {
        let told = Command::new("kill").args(["-s", "TERM", &self.child.id().to_string()]).status();
        assert!(told.unwrap().success());
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has ended already in a test that went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
