//! The first lines on standard output: what is served, and where.

use crate::{
    listen::{DEFAULT_PORT, network_address},
    terminal::{Colour, Paint},
};
use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Component, Path},
};

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));

pub(crate) struct Banner<'a> {
    pub(crate) path: &'a Path,
    pub(crate) addrs: &'a [SocketAddr],
    /// Whether [`DEFAULT_PORT`] would have been taken if it were free.
    pub(crate) any_port: bool,
    /// Where it can be looked into.
    pub(crate) metrics: Option<SocketAddr>,
    /// How many may come in, if not everybody.
    pub(crate) users: Option<usize>,
    /// Whether to say how to share.
    pub(crate) hint: bool,
    pub(crate) paint: Paint,
}

impl Banner<'_> {
    pub(crate) fn render(&self) -> String {
        let Banner { paint, .. } = self;
        let how = if self.path.is_dir() {
            "listing off, dotfiles hidden, symlinks inside root only"
        } else {
            "one file"
        };
        let mut text = format!(
            "{}lakh {VERSION}{}  serving {}  ({how})\n",
            paint.begin(Colour::Bold),
            paint.end(),
            shown(self.path)
        );
        for addr in self.addrs {
            let moved = self.any_port && addr.port() != DEFAULT_PORT;
            let note = if moved { format!("  ({DEFAULT_PORT} is taken)") } else { String::new() };
            self.add_url(&mut text, *addr, &note);
        }
        for addr in self.addrs.iter().filter(|addr| addr.ip().is_unspecified()) {
            if let Some(ip) = network_address(addr.ip()) {
                self.add_url(&mut text, SocketAddr::new(ip, addr.port()), "  (from the network)");
            }
        }
        if let Some(addr) = self.metrics {
            let warning = if addr.ip().is_loopback() { "" } else { ", for everybody who can reach it" };
            self.add_url(&mut text, addr, &format!("  (what goes on inside{warning})"));
        }
        if let Some(users) = self.users {
            let what = if users == 1 { "1 user".to_owned() } else { format!("{users} users") };
            let is_open = self.addrs.iter().any(|addr| !addr.ip().is_loopback());
            let warning =
                if is_open { ", which are sent unencrypted: put a proxy with TLS before it" } else { "" };
            let _ = writeln!(text, "  for {what}, by name and password{warning}");
        }
        if self.hint {
            let (dim, end) = (paint.begin(Colour::Dim), paint.end());
            let _ = writeln!(text, "  {dim}add --public to share on the network{end}");
        }
        text
    }

    fn add_url(&self, text: &mut String, addr: SocketAddr, note: &str) {
        let (cyan, end) = (self.paint.begin(Colour::Cyan), self.paint.end());
        let _ = writeln!(text, "  {cyan}http://{addr}{end}{note}");
    }
}

/// A path as one recognises it, on one line: relative ones begin with a dot.
fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain: String = text
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect();
    match path.components().next() {
        Some(Component::Normal(_)) => format!("./{plain}"),
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(path: &str, addrs: &[&str], any_port: bool, hint: bool) -> String {
        let addrs: Vec<SocketAddr> = addrs.iter().map(|addr| addr.parse().unwrap()).collect();
        let banner = Banner {
            path: Path::new(path),
            addrs: &addrs,
            any_port,
            metrics: None,
            users: None,
            hint,
            paint: Paint::default(),
        };
        banner.render()
    }

    #[test]
    fn it_says_what_is_served_and_where() {
        assert_eq!(
            render("src", &["127.0.0.1:8080", "[::1]:8080"], false, true),
            format!(
                "lakh {VERSION}  serving ./src  (listing off, dotfiles hidden, symlinks inside root only)\n  \
                 http://127.0.0.1:8080\n  http://[::1]:8080\n  add --public to share on the network\n"
            )
        );
        assert!(render("src/main.rs", &[], false, false).ends_with("serving ./src/main.rs  (one file)\n"));
    }

    #[test]
    fn it_says_when_the_default_port_was_taken() {
        assert!(render(".", &["127.0.0.1:8081"], true, false).contains("8081  (8080 is taken)\n"));
        assert!(!render(".", &["127.0.0.1:8080"], true, false).contains("taken"));
        assert!(!render(".", &["127.0.0.1:9000"], false, false).contains("taken"));
    }

    #[test]
    fn it_says_that_passwords_go_over_the_network_as_they_are() {
        let render = |addr: &str, users| {
            let addrs = [addr.parse().unwrap()];
            let (path, paint) = (Path::new("."), Paint::default());
            let metrics = None;
            Banner { path, addrs: &addrs, any_port: false, metrics, users: Some(users), hint: false, paint }
                .render()
        };
        assert!(render("127.0.0.1:8080", 1).ends_with("  for 1 user, by name and password\n"));
        assert!(
            render("10.0.0.1:8080", 2)
                .contains("  for 2 users, by name and password, which are sent unencrypted")
        );
    }

    #[test]
    fn it_says_where_one_can_look_inside() {
        let render = |metrics: &str| {
            let addrs = ["127.0.0.1:8080".parse().unwrap()];
            let (path, paint) = (Path::new("."), Paint::default());
            let metrics = Some(metrics.parse().unwrap());
            Banner { path, addrs: &addrs, any_port: false, metrics, users: None, hint: false, paint }.render()
        };
        let text = render("127.0.0.1:9464");
        assert!(
            text.ends_with("  http://127.0.0.1:8080\n  http://127.0.0.1:9464  (what goes on inside)\n"),
            "{text}"
        );
        assert!(render("0.0.0.0:9464").ends_with("(what goes on inside, for everybody who can reach it)\n"));
    }

    #[test]
    fn paths_stay_on_one_line() {
        assert_eq!(shown(Path::new(".")), ".");
        assert_eq!(shown(Path::new("../dist/")), "../dist/");
        assert_eq!(shown(Path::new("/srv")), "/srv");
        assert_eq!(shown(Path::new("a\n\u{1b}[31m")), "./a\\n\\u{1b}[31m");
    }
}
