//! What is to be measured, and how.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lakh_compare::flags::Flags;
use lakh_compare::http::{self, Head};
use lakh_compare::process::{HugePages, Server, Spec};
use lakh_compare::{Context, Error, Result};

const HELP: &str = "\
compare [speed | service | json | files | fairness | overload | metrics | idle-memory | instructions | all
         | ws | ws-idle-memory | ws-instructions | broadcast] [options]

  speed          server CPU per request, in paired rounds (the default)
  service        the same for an async handler with a parameter and state, within two middlewares
  json           the same for TechEmpower's JSON
  files          the same for static files, beside file servers
  fairness       what is left to 64 connections beside three greedy ones
  overload       what is answered of up to ten times as many requests as a server can answer
  metrics        server CPU per request with metrics that are read every second, and without
  idle-memory    user memory per idle keep-alive connection
  instructions   user-space instructions per request, under callgrind
  all            speed, idle-memory and instructions, one after the other
  ws             server CPU per echoed WebSocket message
  ws-idle-memory, ws-instructions
                 the same as above, of WebSockets
  broadcast      server CPU per message that is published to many subscribers, two shards

Servers
  --lakh PATH               the `hello` example, or for `files` the `lakh` binary; found under target/dist
                            of the repository; for `service` and `fairness` the `lakh_service` of this package, for
                            `overload` its `busy_service`, for `metrics` its `watched_service`;
                            for WebSockets the `ws_echo` example
  --style STYLE             of `ws_echo`, for WebSockets: callback, async or both: both
  --no-lakh                 leave it out
  --peers LIST              of floor,hyper,actix: all; for `service` of floor,axum,actix; for `json` of
                            hyper,axum,actix; for `files` of h2o,lighttpd,nginx: those installed; for
                            WebSockets of floor,fastwebsockets,tungstenite; for `broadcast` of floor
  --server NAME=COMMAND     one more, that prints http://127.0.0.1:PORT; may be repeated
  --server NAME@ADDR=CMD    one more, that listens on a known address; for `files`, {dir} in the command
                            stands for the folder to serve

Load
  --only LIST               of 64,512,pipelined,idle: all; for `files` of 1k,64k,10m: all; for `ws` of
                            64,512,4k: all
  --path PATH               /plaintext; for `service` /users/4711, for `json` /json
  --head KIND               bare (as wrk), browser (12 fields), varied, varied-browser: bare; for `service`
                            browser
  --rounds N                15; fewer than 6 give no 95 % interval
  --seconds S               measured per server and round: 1; for `overload` 5
  --requests N              this many requests per round instead of a time
  --idle N                  idle connections, or subscribers: 15000
  --spin                    the generator never sleeps, so servers never pay for waking it

Machine
  --cpus SERVER,LOAD        0,1
  --no-pin                  leave the scheduler alone
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Speed,
    Service,
    Json,
    Files,
    Fairness,
    Overload,
    Metrics,
    IdleMemory,
    Instructions,
    All,
    Ws,
    WsIdleMemory,
    WsInstructions,
    Broadcast,
}

/// Servers on one CPU, the generator on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cpus {
    pub(crate) server: usize,
    pub(crate) load: usize,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) command: Command,
    /// Those that can be started as they are; for `files` what was added to its own.
    pub(crate) servers: Vec<Spec>,
    /// What `--lakh` names, or was found.
    pub(crate) lakh: Option<PathBuf>,
    pub(crate) peers: Vec<String>,
    pub(crate) only: Vec<String>,
    pub(crate) path: String,
    pub(crate) head: Head,
    pub(crate) rounds: usize,
    pub(crate) window: Duration,
    pub(crate) requests: Option<u64>,
    pub(crate) idle_connections: usize,
    pub(crate) spin: bool,
    pub(crate) cpus: Option<Cpus>,
}

pub(crate) const LAKH: &str = "lakh";
pub(crate) const FLOOR: &str = "floor";
pub(crate) const HYPER: &str = "hyper";
pub(crate) const AXUM: &str = "axum";
pub(crate) const ACTIX: &str = "actix";
pub(crate) const FASTWEBSOCKETS: &str = "fastwebsockets";
/// The styles of `ws_echo`.
pub(crate) const CALLBACK: &str = "lakh callback";
pub(crate) const ASYNC: &str = "lakh async";
const STYLES: [(&str, &str); 2] = [(CALLBACK, "callback"), (ASYNC, "async")];
pub(crate) const BROADCAST_SHARDS: usize = 2;

/// A peer's name and its program beside this one; file servers are found elsewhere.
type Peer = (&'static str, &'static str);
const FLOOR_SERVER: Peer = (FLOOR, "floor");
const HYPER_SERVER: Peer = (HYPER, "hyper_server");
const AXUM_SERVER: Peer = (AXUM, "axum_server");
const ACTIX_SERVER: Peer = (ACTIX, "actix_server");
const WS_FLOOR: Peer = (FLOOR, "ws_floor");
const PEERS: [Peer; 3] = [FLOOR_SERVER, HYPER_SERVER, ACTIX_SERVER];
const SERVICE_PEERS: [Peer; 3] = [FLOOR_SERVER, AXUM_SERVER, ACTIX_SERVER];
const JSON_PEERS: [Peer; 3] = [HYPER_SERVER, AXUM_SERVER, ACTIX_SERVER];
const FILE_SERVERS: [Peer; 3] = [(H2O, ""), (LIGHTTPD, ""), (NGINX, "")];
const WS_PEERS: [Peer; 3] =
    [WS_FLOOR, (FASTWEBSOCKETS, "fastwebsockets_server"), ("tungstenite", "tungstenite_server")];
pub(crate) const H2O: &str = "h2o";
pub(crate) const LIGHTTPD: &str = "lighttpd";
pub(crate) const NGINX: &str = "nginx";
pub(crate) const SCENARIOS: [&str; 4] = ["64", "512", "pipelined", "idle"];
pub(crate) const FILES: [&str; 3] = ["1k", "64k", "10m"];
pub(crate) const ECHOES: [&str; 3] = ["64", "512", "4k"];

impl Options {
    /// `None` when help was asked for and given.
    pub(crate) fn from_env() -> Result<Option<Options>> {
        let program = std::env::current_exe().context(|| "finding the peers".to_owned())?;
        let Some(options) = Options::parse(Flags::from_env(), &program)? else {
            print!("{HELP}");
            return Ok(None);
        };
        Ok(Some(options))
    }

    fn parse(mut flags: Flags, program: &Path) -> Result<Option<Options>> {
        let command = command(flags.word())?;
        let folder = program.parent().unwrap_or(Path::new("."));
        let (all_peers, all_rows): (&[Peer], &[&str]) = match command {
            Command::Service => (&SERVICE_PEERS, &[]),
            Command::Json => (&JSON_PEERS, &[]),
            Command::Fairness | Command::Overload | Command::Metrics => (&[], &[]),
            Command::Files => (&FILE_SERVERS, &FILES),
            Command::Ws => (&WS_PEERS, &ECHOES),
            Command::WsIdleMemory | Command::WsInstructions => (&WS_PEERS, &[]),
            Command::Broadcast => (&[WS_FLOOR], &[]),
            _ => (&PEERS, &SCENARIOS),
        };
        let peer_names: Vec<&str> = all_peers.iter().map(|&(name, _)| name).collect();
        let lakh = match command {
            Command::Service | Command::Fairness => Some(folder.join("lakh_service")),
            Command::Overload => Some(folder.join("busy_service")),
            Command::Metrics => Some(folder.join("watched_service")),
            Command::Files => built_lakh(program, "lakh"),
            _ if command.is_ws() => built_lakh(program, "examples/ws_echo"),
            _ => built_lakh(program, "examples/hello"),
        };
        let mut styles = STYLES.to_vec();
        let (path, head) = match command {
            Command::Service | Command::Fairness => ("/users/4711", Head::Browser),
            Command::Json => ("/json", Head::Bare),
            Command::Overload => ("/", Head::Bare),
            _ => ("/plaintext", Head::Bare),
        };
        let mut options = Options {
            command,
            servers: Vec::new(),
            lakh,
            peers: peer_names.iter().map(|&name| name.to_owned()).collect(),
            only: all_rows.iter().map(|&name| name.to_owned()).collect(),
            path: path.to_owned(),
            head,
            rounds: 15,
            window: Duration::from_secs(if command == Command::Overload { 5 } else { 1 }),
            requests: None,
            idle_connections: 15_000,
            spin: false,
            cpus: Some(Cpus { server: 0, load: 1 }),
        };
        let mut added = Vec::new();
        while let Some(name) = flags.next_flag()? {
            match name.as_str() {
                "--lakh" => options.lakh = Some(PathBuf::from(flags.value()?)),
                "--no-lakh" => options.lakh = None,
                "--peers" => options.peers = known(flags.list()?, &peer_names)?,
                "--style" if command.is_ws() => styles = chosen_styles(&flags.value()?)?,
                "--server" => added.push(Spec::parse(&flags.value()?)?),
                "--only" => options.only = known(flags.list()?, all_rows)?,
                "--path" => options.path = flags.value()?,
                "--head" => options.head = flags.parsed()?,
                "--rounds" => options.rounds = flags.number(1, 1000)? as usize,
                "--seconds" => options.window = Duration::from_secs_f64(seconds(flags.parsed()?)?),
                "--requests" => options.requests = Some(flags.number(1000, 1 << 32)?),
                "--idle" => options.idle_connections = flags.number(300, 1_000_000)? as usize,
                "--spin" => options.spin = true,
                "--cpus" => options.cpus = Some(cpus(&flags.list()?)?),
                "--no-pin" => options.cpus = None,
                "--help" | "-h" => return Ok(None),
                _ => return flags.unknown(),
            }
        }
        if command != Command::Files {
            let shards = if command == Command::Broadcast { BROADCAST_SHARDS } else { 1 };
            for path in options.lakh.iter() {
                let lakh = |name| listening(name, path, shards);
                if command.is_ws() {
                    options.servers.extend(styles.iter().map(|(name, style)| styled(lakh(name), style)));
                } else {
                    options.servers.push(lakh(LAKH));
                }
            }
            let chosen = all_peers.iter().filter(|(name, _)| options.peers.iter().any(|peer| peer == name));
            let peer = |&(name, binary): &Peer| listening(name, &folder.join(binary), shards);
            options.servers.extend(chosen.map(peer));
        }
        options.servers.extend(added);
        if command != Command::Files {
            check(&options.servers)?;
        }
        Ok(Some(options))
    }

    /// How many descriptors a server, and this process, will have open at once.
    pub(crate) fn open_files(&self) -> u64 {
        let idle_scenario = self.only.iter().any(|name| name == "idle");
        let idle = match self.command {
            Command::Speed if !idle_scenario => 0,
            Command::Instructions | Command::Service | Command::Json => 0,
            Command::Files | Command::Fairness | Command::Metrics => 0,
            Command::Overload => 15_000,
            Command::Ws | Command::WsInstructions => 0,
            Command::Speed | Command::IdleMemory | Command::All => self.idle_connections as u64,
            Command::WsIdleMemory | Command::Broadcast => self.idle_connections as u64,
        };
        idle.max(512) + 200
    }

    pub(crate) fn start(&self, spec: &Spec, huge_pages: HugePages) -> Result<Server> {
        Server::start(spec, self.cpus.map(|cpus| cpus.server), huge_pages, Duration::from_secs(10))
    }

    /// The request for a server, with its own address as the host.
    pub(crate) fn request(&self, server: &Server, head: Head) -> Vec<u8> {
        http::request(&self.path, &server.address.to_string(), head)
    }
}

impl Command {
    fn is_ws(self) -> bool {
        matches!(self, Command::Ws | Command::WsIdleMemory | Command::WsInstructions | Command::Broadcast)
    }
}

/// There is a server, and none has another's name.
pub(crate) fn check(servers: &[Spec]) -> Result<()> {
    if servers.is_empty() {
        return Err(Error::new("no server to measure: name --peers or a --server"));
    }
    for (index, server) in servers.iter().enumerate() {
        if servers[..index].iter().any(|other| other.name == server.name) {
            return Err(Error::new(format!("two servers are called {:?}", server.name)));
        }
    }
    Ok(())
}

fn command(word: Option<String>) -> Result<Command> {
    match word.as_deref() {
        None | Some("speed") => Ok(Command::Speed),
        Some("service") => Ok(Command::Service),
        Some("json") => Ok(Command::Json),
        Some("files") => Ok(Command::Files),
        Some("fairness") => Ok(Command::Fairness),
        Some("overload") => Ok(Command::Overload),
        Some("metrics") => Ok(Command::Metrics),
        Some("idle-memory") => Ok(Command::IdleMemory),
        Some("instructions") => Ok(Command::Instructions),
        Some("all") => Ok(Command::All),
        Some("ws") => Ok(Command::Ws),
        Some("ws-idle-memory") => Ok(Command::WsIdleMemory),
        Some("ws-instructions") => Ok(Command::WsInstructions),
        Some("broadcast") => Ok(Command::Broadcast),
        Some(word) => Err(Error::new(format!("{word:?} is not a command here; see --help"))),
    }
}

fn known(words: Vec<String>, all: &[&str]) -> Result<Vec<String>> {
    match words.iter().find(|word| !all.contains(&word.as_str())) {
        Some(word) => Err(Error::new(format!("{word:?} is not one of {}", all.join(", ")))),
        None => Ok(words),
    }
}

fn seconds(seconds: f64) -> Result<f64> {
    if (0.05..=600.0).contains(&seconds) {
        return Ok(seconds);
    }
    Err(Error::new(format!("--seconds is {seconds}, which is not within 0.05 to 600")))
}

fn cpus(list: &[String]) -> Result<Cpus> {
    match list {
        [server, load] => match (server.parse(), load.parse()) {
            (Ok(server), Ok(load)) => Ok(Cpus { server, load }),
            _ => Err(Error::new("--cpus takes two numbers, as 0,1")),
        },
        _ => Err(Error::new("--cpus takes two numbers, as 0,1")),
    }
}

fn chosen_styles(style: &str) -> Result<Vec<(&'static str, &'static str)>> {
    let chosen: Vec<_> = STYLES.into_iter().filter(|(_, name)| style == "both" || style == *name).collect();
    if chosen.is_empty() {
        return Err(Error::new(format!("--style is {style:?}, which is not callback, async or both")));
    }
    Ok(chosen)
}

fn styled(spec: Spec, style: &str) -> Spec {
    let style = ["--style", style].map(str::to_owned);
    Spec { argv: spec.argv.into_iter().chain(style).collect(), ..spec }
}

fn listening(name: &str, program: &Path, shards: usize) -> Spec {
    let arguments = ["--listen", "127.0.0.1:0", "--shards", &shards.to_string()].map(str::to_owned);
    let argv = std::iter::once(program.to_string_lossy().into_owned()).chain(arguments).collect();
    Spec { name: name.to_owned(), argv, address: None }
}

/// What was built of the repository that holds this program's build folder.
fn built_lakh(program: &Path, name: &str) -> Option<PathBuf> {
    let above = program.ancestors().take(8);
    above.map(|folder| folder.join("target/dist").join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Option<Options>> {
        Options::parse(Flags::new(words.iter().map(|word| (*word).to_owned())), Path::new("/build/compare"))
    }

    #[test]
    fn peers_are_found_beside_the_runner() {
        let options = parse(&["--peers", "hyper,floor", "--no-lakh"]).unwrap().unwrap();
        let programs: Vec<&str> = options.servers.iter().map(|spec| spec.argv[0].as_str()).collect();
        assert_eq!(programs, ["/build/floor", "/build/hyper_server"]);
        assert_eq!(options.command, Command::Speed);
        assert_eq!(options.open_files(), 15_200);
    }

    #[test]
    fn options_are_understood() {
        let line = [
            "all",
            "--only=64,idle",
            "--seconds",
            "0.2",
            "--cpus",
            "2,3",
            "--server",
            "a=./a b",
            "--lakh",
            "x",
        ];
        let options = parse(&line).unwrap().unwrap();
        assert_eq!(options.command, Command::All);
        assert_eq!(options.only, ["64", "idle"]);
        assert_eq!(options.window, Duration::from_millis(200));
        assert_eq!(options.cpus, Some(Cpus { server: 2, load: 3 }));
        let names: Vec<&str> = options.servers.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(names, ["lakh", "floor", "hyper", "actix", "a"]);
        assert!(parse(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn files_have_peers_and_rows_of_their_own() {
        let options = parse(&["files", "--only", "64k", "--peers", "nginx", "--lakh", "x"]).unwrap().unwrap();
        assert!(options.servers.is_empty());
        assert_eq!((options.peers, options.only), (vec!["nginx".to_owned()], vec!["64k".to_owned()]));
        assert!(parse(&["files", "--only", "512"]).is_err());
    }

    #[test]
    fn a_service_has_peers_and_a_request_of_its_own() {
        let options = parse(&["service", "--peers", "axum,floor"]).unwrap().unwrap();
        let programs: Vec<&str> = options.servers.iter().map(|spec| spec.argv[0].as_str()).collect();
        assert_eq!(programs, ["/build/lakh_service", "/build/floor", "/build/axum_server"]);
        assert_eq!((options.path.as_str(), options.head), ("/users/4711", Head::Browser));
        let options = parse(&["json", "--no-lakh"]).unwrap().unwrap();
        assert_eq!((options.path.as_str(), options.servers.len()), ("/json", 3));
        assert!(parse(&["service", "--peers", "hyper"]).is_err());
        assert!(parse(&["json", "--only", "64"]).is_err());
    }

    #[test]
    fn websockets_are_measured_in_each_style() {
        let names = |words: &[&str]| -> Vec<String> {
            let options = parse(words).unwrap().unwrap();
            options.servers.iter().map(|spec| format!("{}: {}", spec.name, spec.argv.join(" "))).collect()
        };
        let lakh =
            |style| format!("lakh {style}: /x/ws_echo --listen 127.0.0.1:0 --shards 1 --style {style}");
        let peer = "floor: /build/ws_floor --listen 127.0.0.1:0 --shards 1";
        let line = ["ws", "--lakh", "/x/ws_echo", "--peers", "floor"];
        assert_eq!(names(&line), [lakh("callback"), lakh("async"), peer.to_owned()]);
        let line = ["ws-instructions", "--lakh", "/x/ws_echo", "--peers", "floor", "--style=async"];
        assert_eq!(names(&line), [lakh("async"), peer.to_owned()]);
        let all = names(&["ws-idle-memory", "--no-lakh"]);
        assert!(all.len() == 3 && all[2].starts_with("tungstenite: "), "{all:?}");
        assert_eq!(names(&["broadcast", "--no-lakh"]), [peer.replace("shards 1", "shards 2")]);
        assert!(parse(&["ws", "--style", "blocking"]).is_err());
        assert!(parse(&["speed", "--style", "async"]).is_err());
    }

    #[test]
    fn many_subscribers_need_many_descriptors() {
        let needed = |command| parse(&[command, "--lakh", "x"]).unwrap().unwrap().open_files();
        assert_eq!(["ws", "ws-instructions"].map(needed), [712, 712]);
        assert_eq!(["ws-idle-memory", "broadcast"].map(needed), [15_200, 15_200]);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |words: &[&str]| parse(words).unwrap_err().to_string();
        assert_eq!(error(&["fast"]), "\"fast\" is not a command here; see --help");
        assert_eq!(error(&["--only", "65"]), "\"65\" is not one of 64, 512, pipelined, idle");
        assert_eq!(error(&["--cpus", "0"]), "--cpus takes two numbers, as 0,1");
        assert_eq!(error(&["--server", "floor=./a"]), "two servers are called \"floor\"");
        assert_eq!(error(&["--peers", "", "--no-lakh"]), "no server to measure: name --peers or a --server");
        assert_eq!(error(&["--seconds", "0"]), "--seconds is 0, which is not within 0.05 to 600");
    }
}
