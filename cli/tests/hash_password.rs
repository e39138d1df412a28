//! `lakh hash-password` as a process, with its password from a pipe. What it does on a terminal,
//! `.ci/system.d/hash_password_asks_on_a_terminal.py` tells.

use lakh_password::{Algorithm, Hasher, PasswordHash, Verdict};
use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

fn hash_password(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakh"));
    command.arg("hash-password").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// The one line that it prints.
#[track_caller]
fn hashed(arguments: &[&str], input: &[u8]) -> String {
    let output = hash_password(arguments, input);
    let (out, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    assert_eq!(out.lines().count(), 1, "{out}");
    out.trim_end().to_owned()
}

#[track_caller]
fn assert_refused(arguments: &[&str], input: &[u8], begin: &str) {
    let output = hash_password(arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.starts_with(&format!("lakh: {begin}")) && errors.lines().count() == 1, "{errors}");
    assert!(output.stdout.is_empty());
}

fn verdict(hash: &str, password: &'static str, made_by: Algorithm) -> Verdict {
    let stored: PasswordHash = hash.parse().unwrap();
    let hasher = Hasher::new(made_by).unwrap();
    lakh_core::block_on(async move { hasher.verify(password, Some(&stored)).await.unwrap() }).unwrap()
}

#[test]
fn a_line_becomes_a_hash_of_the_algorithm_and_costs_that_were_asked_for() {
    for (arguments, begin, algorithm) in [
        (&[][..], "$argon2id$v=19$m=19456,t=2,p=1$", Algorithm::ARGON2ID),
        (
            &["--memory", "64", "--passes", "3", "--lanes", "2"],
            "$argon2id$v=19$m=64,t=3,p=2$",
            Algorithm::Argon2id { memory_kib: 64, passes: 3, lanes: 2 },
        ),
        (
            &["-a", "scrypt", "--log-n", "5", "--block-size", "4", "--repetitions", "2"],
            "$scrypt$ln=5,r=4,p=2$",
            Algorithm::Scrypt { log_n: 5, r: 4, p: 2 },
        ),
        (
            &["--algorithm", "pbkdf2", "--rounds", "1000"],
            "$pbkdf2-sha256$i=1000,l=32$",
            Algorithm::Pbkdf2 { rounds: 1000 },
        ),
        (&["--algorithm", "bcrypt", "--cost", "4"], "$2b$04$", Algorithm::Bcrypt { cost: 4 }),
    ] {
        let hash = hashed(arguments, b"correct horse\n");
        assert!(hash.starts_with(begin), "{hash}");
        assert_eq!(verdict(&hash, "correct horse", algorithm), Verdict::Right, "{hash}");
        assert_eq!(verdict(&hash, "correct horse\n", algorithm), Verdict::Wrong, "{hash}");
    }
}

#[test]
fn only_the_end_of_the_line_is_no_part_of_the_password() {
    const CHEAP: Algorithm = Algorithm::Argon2id { memory_kib: 64, passes: 1, lanes: 1 };
    for (input, password) in
        [("secret", "secret"), ("secret\r\n", "secret"), (" \u{fc}\r\r\n", " \u{fc}\r"), ("a:b\n", "a:b")]
    {
        let hash = hashed(&["--memory", "64", "--passes", "1"], input.as_bytes());
        assert_eq!(verdict(&hash, password, CHEAP), Verdict::Right, "{input:?}");
    }
    let longest = "x".repeat(1024);
    hashed(&["--memory", "64"], format!("{longest}\r\n").as_bytes());
    assert_refused(&[], format!("{longest}x\n").as_bytes(), "a password has at most 1024 bytes");
    assert_refused(&[], "x".repeat(1 << 20).as_bytes(), "a password has at most 1024 bytes");
    assert_refused(&["-a", "bcrypt"], &[b'x'; 72], "a password has at most 71 bytes");
}

#[test]
fn with_a_user_it_is_a_line_of_a_password_file() {
    let line = hashed(&["--user", "ada", "-a", "bcrypt", "--cost", "4"], b"correct horse\n");
    assert!(line.starts_with("ada:$2b$04$"), "{line}");
}

#[test]
fn what_it_cannot_do_is_one_line_and_status_2() {
    assert_refused(&[], b"", "the password is empty");
    assert_refused(&[], b"\n", "the password is empty");
    assert_refused(&[], b"one\ntwo\n", "standard input has more than one line");
    assert_refused(&[], b"\xff\n", "the password is no UTF-8");
    assert_refused(&["--rounds", "5000"], b"x\n", "--rounds is a cost of pbkdf2, and not of argon2id");
    assert_refused(&["-a", "pbkdf2", "--rounds", "10"], b"x\n", "the rounds of PBKDF2 must be from 1000");
    assert_refused(&["--memory", "7"], b"x\n", "the memory of Argon2 in KiB must be from 8");
    assert_refused(&["--user", "a:b"], b"x\n", "a name has 1 to 255 bytes, no colon");
    assert_refused(&["-a", "md5"], b"x\n", "invalid value 'md5' for '--algorithm <NAME>'");
}
