//! The flags that the examples share, as their users type them.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

const EXAMPLES: [&str; 3] = ["hello", "mirror", "echo"];

/// `cargo test` builds the examples beside the tests.
fn run(example: &str, args: &[&str]) -> Output {
    let mut path: PathBuf = env::current_exe().unwrap();
    path.pop();
    path.pop();
    let program = path.join("examples").join(example).with_extension(env::consts::EXE_EXTENSION);
    Command::new(program).args(args).output().expect("cargo builds the example")
}

/// What it says on stderr, in one line.
fn refused(example: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = run(example, args);
    assert_eq!(status.code(), Some(2), "{example} {args:?}");
    assert!(stdout.is_empty());
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn bad_flags_are_refused_in_one_line() {
    for example in EXAMPLES {
        let cases: [(&[&str], &str); 6] = [
            (&["--port", "1"], "unknown argument --port; usage: "),
            (&["--listen"], "--listen needs a value; usage: "),
            (&["--listen", "home"], "--listen: cannot listen on \"home\": it is no address; "),
            (&["--listen", "example.org:80"], "--listen: cannot listen on \"example.org:80\": names are not"),
            (&["--shards", "-1"], "--shards -1: not a number"),
            (&["--shards", "0"], "--shards: at least one is needed"),
        ];
        for (args, expected) in cases {
            let said = refused(example, args);
            assert!(said.starts_with(&format!("{example}: {expected}")), "{said}");
        }
    }
}

#[test]
fn a_taken_port_is_refused_in_one_line() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for example in EXAMPLES {
        let said = refused(example, &["--listen", &taken, "--shards", "2"]);
        assert!(said.starts_with(&format!("{example}: cannot ")) && said.contains(&taken), "{said}");
    }
}

#[test]
fn help_is_the_usage_on_stdout() {
    for example in EXAMPLES {
        for flag in ["--help", "-h"] {
            let Output { status, stdout, stderr } = run(example, &["--shards", "1", flag]);
            assert!(status.success() && stderr.is_empty());
            let more = if example == "mirror" { "" } else { " [--private-descriptors]" };
            let usage = format!("usage: {example} [--listen ADDR:PORT] [--shards N]{more}\n");
            assert_eq!(String::from_utf8(stdout).unwrap(), usage);
        }
    }
}
