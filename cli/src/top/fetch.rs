//! Asking a server for its numbers.

use crate::{failure::Failure, listen::Listen};
use lakh_http::diagnostics::SnapshotDocument;
use std::{
    fmt,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    str::FromStr,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

const CONNECT: Duration = Duration::from_secs(3);
/// For the whole answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Some KB for each shard and lane.
const LONGEST: usize = 16 << 20;

/// The address of a server's metrics, and what stands before their paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    addr: SocketAddr,
    /// Begins and ends with a slash.
    prefix: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("TLS is not spoken here; write http://HOST:PORT".to_owned());
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err("the path has to be as it is sent, in visible ASCII".to_owned());
        }
        let path = path.trim_end_matches('/');
        let prefix = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
        Ok(Target { addr: authority.parse::<Listen>()?.on_loopback(), prefix })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.addr, self.prefix.trim_end_matches('/'))
    }
}

impl Target {
    /// The numbers of this moment.
    pub(crate) fn fetch(&self) -> Result<SnapshotDocument, Failure> {
        let answer = self.exchange().map_err(|error| self.unreachable(&error))?;
        parse(&answer).map_err(|what| {
            Failure::broken(format!(
                "{self} answers, but shows no metrics of lakh ({what}); give the address that the server shows them on: \
                 lakh serve --metrics prints it"
            ))
        })
    }

    /// As [`fetch`](Self::fetch), on a thread of its own: a server that hangs may take [`CONNECT`] and [`ANSWER`], and
    /// whoever watches wants to end meanwhile.
    pub(crate) fn ask(&self) -> Result<Receiver<Result<SnapshotDocument, Failure>>, Failure> {
        let (tell, told) = mpsc::channel();
        let target = self.clone();
        let fetch = move || drop(tell.send(target.fetch()));
        thread::Builder::new()
            .name("lakh-top".to_owned())
            .spawn(fetch)
            .map_err(|error| Failure::broken(format!("cannot start a thread: {error}")))?;
        Ok(told)
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        Failure::broken(match error.kind() {
            io::ErrorKind::ConnectionRefused => format!(
                "nothing listens on {}; start the server with metrics (lakh serve --metrics), or give the address that \
                 it shows them on",
                self.addr
            ),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => format!("{} does not answer", self.addr),
            _ => format!("cannot ask {}: {error}", self.addr),
        })
    }

    fn exchange(&self) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&self.addr, CONNECT)?;
        let deadline = Instant::now() + ANSWER;
        stream.set_write_timeout(Some(ANSWER))?;
        let request = format!(
            "GET {}snapshot HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\nConnection: close\r\n\r\n",
            self.prefix, self.addr
        );
        stream.write_all(request.as_bytes())?;
        let (mut answer, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        while answer.len() <= LONGEST {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => answer.extend_from_slice(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(answer)
    }
}

fn parse(answer: &[u8]) -> Result<SnapshotDocument, String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("no HTTP")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or("no HTTP")?;
    if status != "200" {
        return Err(format!("status {status}"));
    }
    let snapshot: SnapshotDocument =
        serde_json::from_slice(&answer[end + 4..]).map_err(|_| "other content")?;
    if snapshot.version.is_empty() { Err("other content".to_owned()) } else { Ok(snapshot) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_address_or_a_url() {
        let target =
            |addr: &str, prefix: &str| Ok(Target { addr: addr.parse().unwrap(), prefix: prefix.to_owned() });
        assert_eq!("9464".parse(), target("127.0.0.1:9464", "/"));
        assert_eq!("10.0.0.5:9464".parse(), target("10.0.0.5:9464", "/"));
        assert_eq!("http://[::1]:80/".parse(), target("[::1]:80", "/"));
        assert_eq!("http://localhost:80/a/inside".parse(), target("127.0.0.1:80", "/a/inside/"));
        assert!("https://10.0.0.5:1".parse::<Target>().unwrap_err().contains("TLS"));
        assert!("example.org:80".parse::<Target>().unwrap_err().contains("names are not resolved"));
        assert!("127.0.0.1:80/a b".parse::<Target>().unwrap_err().contains("visible"));
    }

    #[test]
    fn what_is_no_snapshot_says_so() {
        let error = |answer: &str| parse(answer.as_bytes()).unwrap_err();
        assert_eq!(error("HTTP/1.1 404 Not Found\r\n\r\n"), "status 404");
        assert_eq!(error("HTTP/1.1 200 OK\r\n\r\n<html>"), "other content");
        assert_eq!(error("HTTP/1.1 200 OK\r\n\r\n{}"), "other content");
        assert_eq!(error("SSH-2.0-OpenSSH\r\n"), "no HTTP");
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\n{\"version\":\"9\",\"new\":1}").unwrap().version, "9");
    }
}
