//! `lakh serve`: from the options to the last line of the log.

use crate::{
    access,
    args::{LogForm, Serve},
    banner::Banner,
    failure::Failure,
    human,
    listen::Plan,
    log::{Log, Style},
    terminal::{self, Paint},
};
use lakh_core::{
    pool::{Kind, Lane, LaneConfig, PoolConfig},
    stderr,
    sys::cpu::cpu_quota,
};
use lakh_http::{
    App, Files, Server,
    middleware::{BasicAuth, Compress},
};
use lakh_password::Htpasswd;
use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, IsTerminal, Write},
    net::SocketAddr,
    path::Path,
    rc::Rc,
    time::Duration,
};

/// What browsers may show to whom they ask for a password.
const REALM: &str = "lakh serve";
/// How long the end waits for whoever reads the log, and then for whoever reads standard error.
const LAST_LINES: Duration = Duration::from_millis(500);

pub(crate) fn run(options: &Serve) -> Result<(), Failure> {
    stderr::report_panics();
    let files = open(&options.path).map_err(|error| unservable(&options.path, &error))?;
    let users = access::users(options)?;
    let paint = Paint { on: terminal::may_colour(&io::stdout()) };
    let log = match options.log {
        LogForm::Pretty => Some(access_log(paint).map_err(no_stdout)?),
        LogForm::Off => None,
    };
    let running = Plan::new(options).start(|| server(options, &files, users.as_ref(), log.as_ref()))?;
    let banner = Banner {
        path: &options.path,
        addrs: running.addrs(),
        any_port: options.listen.is_empty() && options.port.is_none(),
        metrics: running.metrics_addr(),
        users: users.as_ref().map(Htpasswd::len),
        hint: options.listen.is_empty() && !options.public && io::stdout().is_terminal(),
        paint,
    };
    let banner = banner.render();

    let draining = Rc::new(Cell::new(false));
    let (drain_begun, drain_log) = (Rc::clone(&draining), log.clone());
    let report = running.run_until_signal(
        move || print(&banner),
        move |requests| {
            drain_begun.set(true);
            announce_drain(requests, drain_log.as_ref());
        },
    );
    let report = report.map_err(|error| Failure::broken(format!("cannot wait for signals: {error}")))?;
    if draining.get() {
        stderr::print(&match report.cut {
            0 => "done\n".to_owned(),
            cut => format!("{cut} cut after {}\n", human::duration(options.grace)),
        });
    }
    if log.is_some_and(|log| !log.finish(LAST_LINES)) {
        stderr::print("lakh: the end of the log is lost: standard output does not take it\n");
    }
    // Who does not read it must not keep the process.
    let _ = stderr::flush(LAST_LINES);
    Ok(())
}

/// The files to be served; checks that they can be read.
fn open(path: &Path) -> io::Result<Files> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        Files::dir(path).not_found("404.html").open()
    } else if metadata.is_file() {
        Files::file(path).open()
    } else {
        // To open a named pipe would wait for its other end.
        Err(io::Error::other("it is neither a folder nor a file"))
    }
}

fn app(files: Files, users: Option<Htpasswd>, compress: bool) -> App {
    let mut app = App::new().files("/", files);
    if let Some(users) = users {
        app = app.wrap(BasicAuth::passwords(REALM, move |name, password| users.verify(name, password)));
    }
    if compress { app.wrap(Compress::all().files()) } else { app }
}

fn server(
    options: &Serve,
    files: &Files,
    users: Option<&Htpasswd>,
    log: Option<&Log>,
) -> Result<Server, Failure> {
    let (files, users, compress) = (files.clone(), users.cloned(), options.compress);
    let mut server = Server::new(move |_| app(files.clone(), users.clone(), compress))
        .pool(pool(options.pool_threads))
        .grace(options.grace);
    if let Some(shards) = options.shards {
        server = server.shards(shards);
    }
    if let Some(metrics) = options.metrics {
        let addr = metrics.on_loopback();
        server = server.metrics_addr(addr).map_err(|error| no_metrics(addr, &error))?;
    }
    Ok(match log.cloned() {
        Some(log) => server.on_access(move |_| log.on_shard()),
        None => server,
    })
}

fn no_metrics(addr: SocketAddr, error: &io::Error) -> Failure {
    Failure::refused(match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{addr}, for --metrics, is taken by another program; choose another port by --metrics=PORT, or any by \
             --metrics=0"
        ),
        io::ErrorKind::AddrNotAvailable => format!("{addr}, for --metrics, is no address of this machine"),
        _ => format!("cannot listen on {addr} for --metrics: {error}"),
    })
}

/// A pool with `file_threads` for files, and one more that only the log uses: whoever does not read
/// standard output must not stop the files.
fn pool(file_threads: Option<usize>) -> PoolConfig {
    let mut config = PoolConfig::new(cpu_quota().get());
    config.set_lane(Lane::USER, LaneConfig::new(Kind::Io).cap(1));
    match file_threads {
        Some(threads) => config.workers(Kind::Io, threads + 1),
        None => config,
    }
}

fn access_log(paint: Paint) -> io::Result<Log> {
    let style = Style { paint, for_people: io::stdout().is_terminal() };
    // A descriptor of its own: the log is written in batches, not line by line.
    let out = File::from(stdout_descriptor()?);
    Ok(Log::new(Box::new(out), style))
}

#[cfg(unix)]
fn stdout_descriptor() -> io::Result<std::os::fd::OwnedFd> {
    std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()
}

#[cfg(windows)]
fn stdout_descriptor() -> io::Result<std::os::windows::io::OwnedHandle> {
    std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()
}

/// Writes to standard output. That nobody reads it is no reason to stop.
fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn announce_drain(requests: usize, log: Option<&Log>) {
    let watched = io::stderr().is_terminal();
    if let Some(log) = log.filter(|_| watched && io::stdout().is_terminal()) {
        // Lines of the log would come between the dots and what follows them.
        log.hold();
    }
    // A terminal shows ^C before it.
    let space = if watched { " " } else { "" };
    stderr::print(&match requests {
        0 => format!("{space}stopping… "),
        1 => format!("{space}draining 1 connection… "),
        many => format!("{space}draining {many} connections… "),
    });
}

fn unservable(path: &Path, error: &io::Error) -> Failure {
    Failure::refused(match error.kind() {
        io::ErrorKind::NotFound => format!("there is no {path:?} to serve"),
        io::ErrorKind::PermissionDenied => format!("{path:?} must not be read by this user"),
        _ => format!("cannot serve {path:?}: {error}"),
    })
}

fn no_stdout(error: io::Error) -> Failure {
    Failure::refused(format!("cannot log to standard output: {error}; try --log off"))
}
