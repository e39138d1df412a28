//! The layers of ARCHITECTURE.md, stated as absences and checked on the text of the sources.
//!
//! A rule that fails names every file and line. Comments and strings are no code to these rules, so that one
//! may write about what one does not use.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The packages of the workspace: folder, name, and which of the others each may use.
const PACKAGES: [(&str, &str, &[&str]); 9] = [
    ("core", "lakh-core", &[]),
    ("net", "lakh-net", &["lakh-core"]),
    ("password", "lakh-password", &["lakh-core"]),
    ("compress", "lakh-compress", &["lakh-core"]),
    ("http", "lakh-http", &["lakh-core", "lakh-net", "lakh-compress"]),
    ("ws", "lakh-ws", &["lakh-core", "lakh-net", "lakh-http"]),
    ("", "lakh", &["lakh-core", "lakh-net", "lakh-password", "lakh-compress", "lakh-http", "lakh-ws"]),
    ("loadtest", "lakh-loadtest", &["lakh-core", "lakh-net"]),
    (
        "cli",
        "lakh-cli",
        &["lakh-core", "lakh-net", "lakh-password", "lakh-compress", "lakh-http", "lakh-loadtest"],
    ),
];

/// Where `unsafe` may stand: behind what the kernel and the scheduler need, in the tests' counting allocators
/// and in the measuring tools.
const UNSAFE_PLACES: [&str; 7] = [
    "core/src/sys/",
    "core/src/task/",
    "core/src/pool/",
    "net/src/sys/",
    "http/tests/allocations.rs",
    "ws/tests/topics_allocations.rs",
    "benches/compare/src/sys.rs",
];
/// Lines above an `unsafe` in which its reason has to begin.
const REASON_WITHIN: usize = 6;

/// What speaks a protocol, or reads one.
const PROTOCOL_CRATES: [&str; 12] = [
    "http",
    "httparse",
    "httpdate",
    "hyper",
    "h2",
    "matchit",
    "mime_guess",
    "tungstenite",
    "rustls",
    "hickory-resolver",
    "hickory-proto",
    "quinn-udp",
];

/// What only a program with a command line needs.
const TERMINAL_CRATES: [&str; 12] = [
    "clap",
    "clap_complete",
    "crossterm",
    "ratatui",
    "termion",
    "console",
    "indicatif",
    "anstyle",
    "anstream",
    "colored",
    "owo-colors",
    "terminal_size",
];

/// Tests that really have to let time pass.
const TESTS_THAT_TAKE_TIME: [&str; 3] = [
    // A child's CPU time is measured over a span; other processes are asked again until they have ended.
    "benches/compare/src/process.rs",
    // `eventually` asks again after a pause, `observe_for` measures over a span, and
    // `pause_of_a_slow_peer` is what it says.
    "http/tests/common/mod.rs",
    // `eventually` and `Left` ask again after a pause, and `pause_of_a_client` is what it says.
    "ws/tests/common/mod.rs",
];

/// Lines of a file without its tests.
const LONGEST_FILE: usize = 500;

#[test]
fn unsafe_code_stands_in_few_places() {
    let all = lines().filter(|line| has_word(line.code, "unsafe"));
    refuse(all.filter(|line| !line.file.is_in(&UNSAFE_PLACES)));
}

#[test]
fn every_unsafe_code_says_why_it_is_sound() {
    let all = lines().filter(|line| has_word(line.code, "unsafe"));
    refuse(all.filter(|line| {
        let from = line.number.saturating_sub(REASON_WITHIN + 1);
        !line.file.text.lines().skip(from).take(line.number - from).any(|text| text.contains("SAFETY:"))
    }));
}

#[test]
fn every_crate_denies_unsafe_code_and_most_forbid_it() {
    for (folder, ..) in PACKAGES {
        let root = crate_root(folder);
        let forbids = root.code.contains("#![forbid(unsafe_code)]");
        let denies = root.code.contains("#![deny(unsafe_code)]");
        let may_have_some = ["core", "net"].contains(&folder);
        assert!(forbids || (denies && may_have_some), "{} allows unsafe code", root.path);
    }
}

#[test]
fn dependencies_point_downwards_only() {
    for (folder, name, may_use) in PACKAGES {
        for (table, dependency) in dependencies(folder) {
            let ours = PACKAGES.iter().any(|(_, name, _)| *name == dependency);
            // A package's tests may want a feature of it.
            let itself = dependency == name && table == "dev-dependencies";
            assert!(
                !ours || itself || may_use.contains(&&*dependency),
                "{name} has {dependency} in [{table}]"
            );
        }
    }
}

#[test]
fn no_layer_names_a_higher_one() {
    for (folder, name, may_use) in PACKAGES.into_iter().filter(|(folder, ..)| !folder.is_empty()) {
        let higher: Vec<String> = PACKAGES
            .iter()
            .filter(|(_, other, _)| *other != name && !may_use.contains(other))
            .map(|(_, other, _)| other.replace('-', "_") + "::")
            .collect();
        let folder = format!("{folder}/");
        let inside = lines().filter(|line| line.file.path.starts_with(&folder));
        refuse(inside.filter(|line| higher.iter().any(|other| has_name(line.code, other))));
    }
}

#[test]
fn the_core_knows_no_protocol() {
    for (table, dependency) in dependencies("core") {
        assert!(!PROTOCOL_CRATES.contains(&&*dependency), "lakh-core has {dependency} in [{table}]");
    }
    let core = lines().filter(|line| line.file.path.starts_with("core/src/"));
    refuse(core.filter(|line| {
        let code = line.code.to_lowercase();
        ["http", "websocket", "tls", "dns"].iter().any(|protocol| code.contains(protocol))
    }));
}

#[test]
fn protocols_do_no_input_or_output_and_read_no_clock() {
    let proto = lines().filter(|line| line.file.path.contains("/src/proto/"));
    refuse(proto.filter(|line| {
        // An address is text that is parsed, not a socket.
        let net = has_word(line.code, "net") && !has_word(line.code, "Ipv6Addr");
        let words = ["fs", "io", "File", "lakh_core", "lakh_net", "mio", "Instant", "SystemTime"];
        net || words.iter().any(|word| has_word(line.code, word))
    }));
}

#[test]
fn no_library_resolves_names_with_the_blocking_resolver() {
    let words = ["getaddrinfo", "ToSocketAddrs", "to_socket_addrs"];
    let library = lines().filter(|line| line.file.is_library());
    refuse(library.filter(|line| words.iter().any(|word| has_word(line.code, word))));
}

#[test]
fn handlers_see_no_descriptor() {
    let words = ["AsFd", "AsRawFd", "BorrowedFd", "OwnedFd", "RawFd", "FromRawFd", "IntoRawFd", "as_fd"];
    let seen = lines().filter(|line| line.file.is_in(&["http/src/", "ws/src/"]));
    let outside_files = seen.filter(|line| !line.file.path.starts_with("http/src/files/"));
    refuse(outside_files.filter(|line| words.iter().any(|word| has_word(line.code, word))));
}

#[test]
fn shipped_middleware_uses_what_every_crate_can_use() {
    let private =
        ["app", "body", "connection", "handler", "into_response", "limits", "request", "response", "router"];
    let private = private.map(|module| format!("{module}::"));
    let shipped = lines().filter(|line| {
        line.file.path.starts_with("http/src/middleware/") && !line.file.path.ends_with("/mod.rs")
    });
    refuse(shipped.filter(|line| private.iter().any(|module| has_name(line.code, module))));
}

#[test]
fn the_command_line_is_the_command_lines_business() {
    for (folder, name, _) in PACKAGES.into_iter().filter(|(folder, ..)| *folder != "cli") {
        for (table, dependency) in dependencies(folder) {
            assert!(!TERMINAL_CRATES.contains(&&*dependency), "{name} has {dependency} in [{table}]");
        }
    }
}

#[test]
fn the_second_opinion_on_heads_is_no_part_of_a_server() {
    let heads = lines().filter(|line| {
        let path = &line.file.path;
        path.starts_with("http/src/proto/head") || path.ends_with("http/src/proto/memo.rs")
    });
    refuse(heads.filter(|line| has_name(line.code, "httparse")));
    let frames = lines().filter(|line| line.file.path.starts_with("ws/src/"));
    refuse(
        frames.filter(|line| has_word(line.code, "FrameHeader") || has_word(line.code, "WebSocketContext")),
    );
    for folder in ["http", "ws"] {
        let manifest = read(&root().join(folder).join("Cargo.toml"));
        let features = between(&manifest, "\n[features]\n", "\n[").unwrap_or_default();
        assert!(!features.lines().any(|line| line.starts_with("default") && line.contains("fuzz")));
    }
}

#[test]
fn the_allocator_is_chosen_by_programs_and_not_by_libraries() {
    for (folder, name, _) in PACKAGES.into_iter().filter(|(folder, ..)| *folder != "cli") {
        for (table, dependency) in dependencies(folder) {
            let chosen = dependency == "mimalloc" && !table.ends_with("dev-dependencies");
            assert!(!chosen, "{name} has {dependency} in [{table}]");
        }
    }
    let library = lines().filter(|line| line.file.is_library() && !line.file.path.starts_with("cli/"));
    refuse(library.filter(|line| has_word(line.code, "global_allocator")));
}

#[test]
fn nothing_is_left_to_be_done() {
    let left = ["todo!", "unimplemented!", "dbg!"];
    refuse(lines().filter(|line| left.iter().any(|name| has_name(line.code, name))));
}

#[test]
fn tests_do_not_sleep_to_let_something_happen() {
    let tests = lines().filter(|line| line.is_test() && !line.file.is_in(&TESTS_THAT_TAKE_TIME));
    refuse(tests.filter(|line| line.code.contains("thread::sleep")));
}

#[test]
fn files_are_short_enough_to_be_read_at_once() {
    for file in SOURCES.iter().filter(|file| !file.is_tests()) {
        let lines = file.tests_from - 1;
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines", file.path);
    }
}

#[test]
fn the_readme_shows_the_example_that_is_compiled() {
    let readme = read(&root().join("README.md"));
    let example = between(&readme, "```rust\n", "```").expect("an example in README.md");
    let documentation: String = read(&root().join("src/lib.rs"))
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned() + "\n")
        .collect();
    let compiled = between(&documentation, "```no_run\n", "```").expect("an example in src/lib.rs");
    assert_eq!(example, compiled);
}

#[test]
fn files_that_the_documents_name_exist() {
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(&root().join(document));
        for name in text.split('`').skip(1).step_by(2) {
            let is_path = name.contains('/') && (name.ends_with(".rs") || name.ends_with('/'));
            assert!(!is_path || root().join(name).exists(), "{document} names {name}, which is not there");
        }
    }
}

#[test]
fn comments_and_strings_are_no_code() {
    let cases = [
        ("a // b\nc", "a c"),
        ("a /* b /* c */ d */ e", "a e"),
        (r#"a("b // \" c")d"#, "a()d"),
        ("a(r#\"b \" c\"#, r\"\\\")d", "a(r,r)d"),
        ("'\"' 'a' b'\\'' &'a str", "b &'a str"),
    ];
    for (text, code) in cases {
        let expected: String = code.split_whitespace().collect();
        let found: String = code_of(text).split_whitespace().collect();
        assert_eq!(found, expected, "{text}");
        assert_eq!(code_of(text).lines().count(), text.lines().count());
    }
}

/// All Rust sources of the repository.
static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let mut sources = Vec::new();
    find(&root(), &mut sources);
    assert!(sources.len() > 100, "the sources are not where they were");
    sources
});

struct Source {
    /// From the repository's root, with slashes.
    path: String,
    text: String,
    /// `text` with blanks for comments and strings.
    code: String,
    /// The number of the line at which its unit tests begin; one behind the last if it has none.
    tests_from: usize,
}

impl Source {
    fn new(path: &Path) -> Self {
        let text = read(path);
        let code = code_of(&text);
        let tests = code.lines().zip(code.lines().skip(1)).position(|(attribute, item)| {
            attribute.starts_with("#[cfg(") && has_word(attribute, "test") && item.ends_with('{')
        });
        let tests_from = tests.unwrap_or(code.lines().count()) + 1;
        let path = path.strip_prefix(root()).expect("beneath the root");
        let names: Vec<_> = path.components().map(|name| name.as_os_str().to_string_lossy()).collect();
        Source { path: names.join("/"), text, code, tests_from }
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// Nothing but tests.
    fn is_tests(&self) -> bool {
        let path = format!("/{}", self.path);
        path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("/loom_tests.rs")
    }

    fn is_library(&self) -> bool {
        let folders = [
            "src/",
            "core/src/",
            "net/src/",
            "password/src/",
            "compress/src/",
            "http/src/",
            "ws/src/",
            "loadtest/src/",
            "cli/src/",
        ];
        self.is_in(&folders) && !self.is_tests()
    }
}

/// A line of a source.
struct Line {
    file: &'static Source,
    /// From 1.
    number: usize,
    code: &'static str,
}

impl Line {
    fn is_test(&self) -> bool {
        self.file.is_tests() || self.number >= self.file.tests_from
    }
}

fn lines() -> impl Iterator<Item = Line> {
    SOURCES.iter().flat_map(|file| {
        file.code.lines().enumerate().map(move |(at, code)| Line { file, number: at + 1, code })
    })
}

#[track_caller]
fn refuse(found: impl Iterator<Item = Line>) {
    let found: Vec<String> = found
        .map(|line| {
            let text = line.file.text.lines().nth(line.number - 1).unwrap_or_default();
            format!("{}:{}: {}", line.file.path, line.number, text.trim())
        })
        .collect();
    assert!(found.is_empty(), "against the rule:\n{}", found.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn crate_root(folder: &str) -> &'static Source {
    let named = |path: String| SOURCES.iter().find(move |file| file.path == path);
    let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let root = named(format!("{folder}src/lib.rs")).or_else(|| named(format!("{folder}src/main.rs")));
    root.unwrap_or_else(|| panic!("{folder} has no crate"))
}

/// The dependencies of a package, with the table of its manifest in which each stands.
fn dependencies(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut table = String::new();
    let manifest = read(&root().join(folder).join("Cargo.toml"));
    for line in manifest.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']).to_owned();
            // A dependency may have a table of its own.
            if let Some((kind, name)) = table.rsplit_once("dependencies.") {
                found.push((format!("{kind}dependencies"), name.to_owned()));
            }
        } else if table.ends_with("dependencies")
            && !table.starts_with("workspace")
            && let Some((name, _)) = line.split_once(['.', '=', ' '])
        {
            found.push((table.clone(), name.trim_matches('"').to_owned()));
        }
    }
    assert!(!found.is_empty(), "{folder} has no dependencies that can be read");
    found
}

fn find(folder: &Path, sources: &mut Vec<Source>) {
    let entries: BTreeMap<PathBuf, bool> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry"))
        .map(|entry| (entry.path(), entry.file_type().expect("a type").is_dir()))
        .collect();
    for (path, is_folder) in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if is_folder && name != "target" && !name.starts_with('.') {
            find(&path, sources);
        } else if !is_folder && name.ends_with(".rs") {
            sources.push(Source::new(&path));
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let rest = &text[text.find(begin)? + begin.len()..];
    Some(&rest[..rest.find(end)?])
}

fn has_word(code: &str, word: &str) -> bool {
    places(code, word).any(|at| !code[at + word.len()..].starts_with(is_part_of_a_name))
}

/// As [`has_word`], for what ends with a mark: `name!`, `name::`.
fn has_name(code: &str, name: &str) -> bool {
    places(code, name).next().is_some()
}

/// Where `word` begins, and is not the end of a longer name.
fn places(code: &str, word: &str) -> impl Iterator<Item = usize> {
    code.match_indices(word).map(|(at, _)| at).filter(|at| !code[..*at].ends_with(is_part_of_a_name))
}

fn is_part_of_a_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The text with blanks for comments, strings and characters.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = length_of_no_code(rest, code.chars().next_back());
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            let (no_code, more) = rest.split_at(skipped);
            code.extend(no_code.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = more;
        }
    }
    code
}

/// The length of the comment, string or character at the beginning of `text`; 0 if there is none.
fn length_of_no_code(text: &str, before: Option<char>) -> usize {
    let in_a_name = before.is_some_and(is_part_of_a_name);
    if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        length_of_nested(text)
    } else if text.starts_with('"') && before != Some('r') {
        length_of_quoted(text, '"')
    } else if text.starts_with(['"', '#']) && before == Some('r') {
        let hashes = text.len() - text.trim_start_matches('#').len();
        let end = format!("\"{}", &text[..hashes]);
        match text[hashes..].strip_prefix('"').and_then(|inner| inner.find(&end)) {
            Some(at) => hashes + 1 + at + end.len(),
            None => 0, // r#name
        }
    } else if text.starts_with('\'') && (!in_a_name || before == Some('b')) {
        // A lifetime has no quote behind its first letter.
        let mut after = text[1..].chars();
        let is_character = after.next() == Some('\\') || after.next() == Some('\'');
        if is_character { length_of_quoted(text, '\'') } else { 0 }
    } else {
        0
    }
}

fn length_of_quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn length_of_nested(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if text[at..].starts_with("*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}
