//! `lakh top`: what a running server is at, once a second.

mod fetch;
mod view;

use crate::{
    failure::Failure,
    human,
    screen::{Screen, size},
    terminal::{self, Paint},
};
use fetch::Target;
use lakh_http::diagnostics::SnapshotDocument;
use std::{
    io::{self, IsTerminal, Write},
    thread,
    time::{Duration, Instant},
};
use view::{Sort, Top as View};

pub(crate) const EXAMPLES: &str = "\
Examples:
  lakh top                          a server of this machine that was started with --metrics
  lakh top 10.0.0.5:9464
  lakh top --once | grep cpu        the table, once
  lakh top --json | jq .process     all numbers, a line each second

Keys: q or Ctrl-C ends; b busy, l lag, r requests, c connections, n number: first in the table of shards.";

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Top {
    /// Where the server shows its metrics: HOST:PORT, :PORT, PORT or a URL
    #[arg(value_name = "ADDR", default_value = crate::args::METRICS_PORT)]
    pub(crate) target: Target,

    /// Print the table once, of one interval, and end; so it is without a terminal
    #[arg(long)]
    pub(crate) once: bool,

    /// Print all numbers as a line of JSON each time; with --once a single one
    #[arg(long)]
    pub(crate) json: bool,

    /// How often: 1s, 500ms
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,
}

/// No more often than a person or a server would want.
const SHORTEST: Duration = Duration::from_millis(100);

fn interval(text: &str) -> Result<Duration, String> {
    match human::parse_duration(text)? {
        short if short < SHORTEST => Err("less than 100ms".to_owned()),
        interval => Ok(interval),
    }
}

pub(crate) fn run(options: &Top) -> Result<(), Failure> {
    let first = options.target.fetch()?;
    if options.json {
        return lines(options, &first);
    }
    let stdout = io::stdout();
    if options.once || !stdout.is_terminal() || !io::stdin().is_terminal() || terminal::is_dumb() {
        return once(options, first);
    }
    watch(options, first)
}

fn lines(options: &Top, first: &SnapshotDocument) -> Result<(), Failure> {
    let print = |snapshot: &SnapshotDocument| -> Result<bool, Failure> {
        let line = serde_json::to_string(snapshot).map_err(|error| Failure::broken(error.to_string()))?;
        Ok(say(&format!("{line}\n")))
    };
    let mut goes_on = print(first)?;
    while goes_on && !options.once {
        thread::sleep(options.interval);
        goes_on = print(&options.target.fetch()?)?;
    }
    Ok(())
}

fn once(options: &Top, first: SnapshotDocument) -> Result<(), Failure> {
    thread::sleep(options.interval);
    let mut view = View::new(&options.target.to_string());
    view.add(first);
    view.add(options.target.fetch()?);
    let paint = Paint { on: terminal::may_colour(&io::stdout()) };
    let text: String = view.lines(Sort::Number, paint).into_iter().map(|line| line + "\n").collect();
    say(&text);
    Ok(())
}

/// False if nobody reads it any more, which is no reason to complain.
fn say(text: &str) -> bool {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}

#[cfg(unix)]
fn watch(options: &Top, first: SnapshotDocument) -> Result<(), Failure> {
    use crate::typed::{Event, Typed};
    use lakh_core::tty::Mode;
    use std::sync::mpsc::TryRecvError;

    let broken = |error: io::Error| Failure::broken(format!("cannot use the terminal: {error}"));
    let terminal = Typed::new(|stdin| Mode::keys(stdin)).map_err(broken)?;
    let mut live = Live::new(&options.target.to_string(), first);
    live.draw();
    let mut next = Instant::now() + options.interval;
    let mut asked = None;
    loop {
        let limit = if asked.is_some() { A_MOMENT } else { next.saturating_duration_since(Instant::now()) };
        let event = terminal.wait(Some(limit)).map_err(broken)?;
        match event {
            Event::Typed => {
                let mut keys = [0; 64];
                match terminal.read(&mut keys).map_err(broken)? {
                    // The end of what is typed: nobody is there to end it otherwise.
                    Some(0) => return Ok(()),
                    Some(length) if keys[..length].iter().any(|key| ENDS.contains(key)) => return Ok(()),
                    Some(length) => keys[..length].iter().for_each(|key| live.sort(*key)),
                    None => {}
                }
            }
            Event::Stopped => live.screen = Screen::default(),
            Event::Resized | Event::TimedOut => {}
        }
        let mut is_new = event != Event::TimedOut;
        match &asked {
            None if Instant::now() >= next => asked = Some(options.target.ask()?),
            None => {}
            Some(answer) => match answer.try_recv() {
                Err(TryRecvError::Empty) => {}
                found => {
                    let gone = |_| Err(Failure::broken("the question was lost".to_owned()));
                    live.look(found.unwrap_or_else(gone));
                    (asked, is_new) = (None, true);
                    // Not to be made up for after a stop.
                    next = Instant::now() + options.interval;
                }
            },
        }
        if is_new && !live.draw() {
            return Ok(());
        }
    }
}

/// Between two looks for an answer.
#[cfg(unix)]
const A_MOMENT: Duration = Duration::from_millis(20);

/// q, Q and Ctrl-C.
#[cfg(unix)]
const ENDS: [u8; 3] = [b'q', b'Q', 3];

/// Without keys: Ctrl-C ends the process, and there is nothing to be restored.
#[cfg(not(unix))]
fn watch(options: &Top, first: SnapshotDocument) -> Result<(), Failure> {
    let mut live = Live::new(&options.target.to_string(), first);
    while live.draw() {
        thread::sleep(options.interval);
        live.look(options.target.fetch());
    }
    Ok(())
}

/// The view on a terminal.
struct Live {
    view: View,
    screen: Screen,
    sort: Sort,
    paint: Paint,
}

impl Live {
    fn new(target: &str, first: SnapshotDocument) -> Self {
        let mut view = View::new(target);
        view.add(first);
        let paint = Paint { on: terminal::may_colour(&io::stdout()) };
        Live { view, screen: Screen::default(), sort: Sort::Busy, paint }
    }

    fn look(&mut self, found: Result<SnapshotDocument, Failure>) {
        match found {
            Ok(snapshot) => self.view.add(snapshot),
            Err(failure) => self.view.lose(&failure.to_string()),
        }
    }

    #[cfg_attr(not(unix), allow(dead_code))]
    fn sort(&mut self, key: u8) {
        self.sort = Sort::of_key(key).unwrap_or(self.sort);
    }

    /// False if nobody sees it any more.
    fn draw(&mut self) -> bool {
        let (columns, rows) = size(io::stdout());
        let fit = |lines: Vec<String>| lines.into_iter().take(rows.saturating_sub(1)).collect::<Vec<_>>();
        let lines = |paint: Paint| fit(self.view.fitted(self.sort, columns, rows, paint));
        let (plain, painted) = (lines(Paint::default()), lines(self.paint));
        say(&self.screen.draw(&plain, &painted, columns))
    }
}
