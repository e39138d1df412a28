//! Files of names and hashes: what is read, what is refused, and how many hashes a request costs.

use lakh_password::{Algorithm, Hasher, Htpasswd, MAX_PASSWORD};
use std::fs;

/// The lines of bcrypt and SHA-crypt were made by `htpasswd -nbB -C 5`, `-nb5` and `-nb2` of Apache 2.4.71.
const FILE: &str = "\u{feff}# staff

bcrypt:$2y$05$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C\r
sha512:$6$LFNMO7fdWJylY.K7$Ol8.GkuDBDSIth5hp5FTkQBA7x1l48rhfKOKo4BPq9dGEZkUGkw2oojLp.0nr85CLr0Pl2TAX8yYDvsAD1nU.1
sha256:$5$kz.yXdJChQedAT6N$oL1ARFuCzfozv94Ai..e7qW2VjulRhlboz5JTht07zB:Ada Lovelace: staff
# bob:hunter2
";
const SECRET: &str = "correct horse";

/// A hasher that does nothing but count, as far as this test goes: what is cheap is in the lines.
fn counting() -> Hasher {
    Hasher::new(Algorithm::Argon2id { memory_kib: 64, passes: 1, lanes: 1 }).unwrap()
}

fn users(lines: &str) -> (Htpasswd, Hasher) {
    let hasher = counting();
    let mut users = Htpasswd::new(hasher.clone()).unwrap();
    users.add_lines(lines).unwrap();
    (users, hasher)
}

fn verify(users: &Htpasswd, name: &'static str, password: &str) -> bool {
    let verdict = users.verify(name, password);
    lakh_core::block_on(async move { verdict.await.unwrap() }).unwrap()
}

#[test]
fn lines_of_other_programs_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    fs::write(&path, FILE).unwrap();
    let users = Htpasswd::open(&path).unwrap();
    assert_eq!((users.len(), users.is_empty()), (3, false));
    for name in ["bcrypt", "sha512", "sha256"] {
        assert!(verify(&users, name, SECRET), "{name}");
        assert!(!verify(&users, name, "correct house"), "{name}");
    }
    for name in ["", "bob", "# bob", "BCRYPT", "bcrypt "] {
        assert!(!verify(&users, name, SECRET), "{name}");
        assert!(!verify(&users, name, "hunter2"), "{name}");
    }
    assert!(!format!("{users:?}").contains("$2y$"));
}

#[test]
fn what_hash_password_prints_is_read() {
    for algorithm in [
        Algorithm::Argon2id { memory_kib: 64, passes: 1, lanes: 1 },
        Algorithm::Scrypt { log_n: 4, r: 8, p: 1 },
        Algorithm::Pbkdf2 { rounds: 1000 },
        Algorithm::Bcrypt { cost: 4 },
    ] {
        let hasher = Hasher::new(algorithm).unwrap();
        let hash = lakh_core::block_on(async move { hasher.hash(SECRET).await.unwrap() }).unwrap();
        let (users, _) = users(&format!("ada:{hash}"));
        assert!(verify(&users, "ada", SECRET) && !verify(&users, "ada", "guessed"), "{hash}");
    }
}

#[test]
fn lines_that_protect_nothing_are_refused_with_their_number_and_not_shown() {
    let good = FILE.lines().nth(2).unwrap();
    for (line, what) in [
        ("bob:{SHA}EfatjsUqKYSrqv18O1FlA3hcIHI=", "SHA-1"),
        ("bob:$apr1$u69lKRQ.$wW6Ctlov/hxWUjvVLeImX1", "MD5"),
        ("bob:dXR81IZdbMI3o", "crypt(3)"),
        ("bob:hunter2", "plain password"),
        ("bob:", "plain password"),
        ("hunter2", "name:hash"),
        (":$2y$05$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C", "a name has"),
        ("b\u{7}b:$2y$05$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C", "a name has"),
        ("bcrypt:$2y$05$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C", "there already"),
    ] {
        let error = Htpasswd::parse(&format!("{good}\n\n{line}\nzoe:also-wrong")).unwrap_err();
        let said = error.to_string();
        assert!(error.is_format() && said.starts_with("line 3: ") && said.contains(what), "{line}: {said}");
        let secret = line.rsplit(':').next().unwrap();
        assert!(secret.is_empty() || !said.contains(secret), "{said}");
    }
    let plain = Htpasswd::parse("bob:hunter2").unwrap_err().to_string();
    assert!(plain.contains("`lakh hash-password`"), "it says what to do: {plain}");
}

#[test]
fn hashes_that_could_never_be_verified_are_refused_at_the_start() {
    let hasher = counting().memory(32 << 20);
    let mut users = Htpasswd::new(hasher).unwrap();
    let line = "ada:$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let error = users.add_lines(line).unwrap_err();
    assert!(error.is_cost() && error.to_string().starts_with("line 1: "), "{error}");
}

#[test]
fn files_that_are_no_text_or_too_long_or_not_there_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let refused = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Htpasswd::open(&path).unwrap_err().to_string()
    };
    assert_eq!(refused(b"# one\n# two\nada:\xff\n"), "line 3: it is no UTF-8");
    assert!(refused(&[b'#'; (16 << 20) + 1]).contains("16 MiB"));
    assert!(!Htpasswd::open(folder.path().join("none")).unwrap_err().is_format());
}

#[test]
fn who_has_been_let_in_costs_no_hash_for_a_while() {
    let (users, hasher) = users(FILE);
    assert!(verify(&users, "bcrypt", SECRET));
    assert_eq!(hasher.computed(), 1);
    for _ in 0..10 {
        assert!(verify(&users.clone(), "bcrypt", SECRET));
    }
    assert_eq!(hasher.computed(), 1);
    // Wrong ones are remembered for nobody, and a name with another's password is somebody else.
    for (name, password) in
        [("bcrypt", "guessed"), ("bcrypt", "guessed"), ("sha256", SECRET), ("nobody", SECRET)]
    {
        let before = hasher.computed();
        assert_eq!(verify(&users, name, password), name == "sha256");
        assert_eq!(hasher.computed(), before + 1, "{name} {password}");
    }
    // What is remembered is the pair, wherever it is cut.
    assert!(!verify(&users, "bcryptcorrect", " horse"));
}

#[test]
fn a_file_that_lost_somebody_does_not_remember_them_by_a_clone() {
    let (mut with_ada, _) = users("");
    let without_ada = with_ada.clone();
    with_ada.add_line(&FILE.lines().nth(2).unwrap().replace("bcrypt:", "ada:")).unwrap();
    assert!(verify(&with_ada, "ada", SECRET));
    assert!(!verify(&without_ada, "ada", SECRET));
}

/// The number of hashes, and not the time, which nobody can measure in a test.
#[test]
fn unknown_users_cost_what_known_ones_cost() {
    let longest = "x".repeat(MAX_PASSWORD);
    let too_long = "x".repeat(MAX_PASSWORD + 1);
    for lines in [FILE, ""] {
        let (users, hasher) = users(lines);
        for (password, hashes) in [("guessed", 1), ("", 1), (&*longest, 1), ("nu\0l", 1), (&*too_long, 0)] {
            for name in ["bcrypt", "sha256", "nobody", ""] {
                let before = hasher.computed();
                assert!(!verify(&users, name, password));
                assert_eq!(hasher.computed(), before + hashes, "{name} {:.9}", password);
            }
        }
    }
}

#[test]
fn who_is_remembered_gets_in_while_others_are_refused() {
    let hasher = counting().limit(1);
    let mut users = Htpasswd::new(hasher).unwrap();
    users.add_lines(FILE).unwrap();
    assert!(verify(&users, "bcrypt", SECRET));
    let outcome = lakh_core::block_on(async move {
        // Nothing is polled before the first of them is at work.
        let guess = |number: i32| lakh_core::spawn(users.verify("sha512", &format!("guess {number}")));
        let guesses: Vec<_> = (0..3).map(guess).collect();
        lakh_core::yield_now().await;
        let remembered = users.verify("bcrypt", SECRET).await;
        let mut full = 0;
        for guess in guesses {
            full += usize::from(guess.await.unwrap().is_err_and(|error| error.is_full()));
        }
        (remembered.unwrap(), full)
    });
    assert_eq!(outcome.unwrap(), (true, 2));
}

#[test]
fn who_asks_the_same_at_the_same_time_costs_one_hash() {
    let hasher = counting().limit(1);
    let mut users = Htpasswd::new(hasher.clone()).unwrap();
    users.add_lines(FILE).unwrap();
    for (password, expected) in [(SECRET, true), ("guessed", false)] {
        let (users, before) = (users.clone(), hasher.computed());
        let verdicts = lakh_core::block_on(async move {
            let asked: Vec<_> =
                (0..100).map(|_| lakh_core::spawn(users.verify("sha512", password))).collect();
            let mut verdicts = Vec::new();
            for verdict in asked {
                verdicts.push(verdict.await.unwrap().unwrap());
            }
            verdicts
        });
        assert_eq!(verdicts.unwrap(), [expected; 100]);
        assert_eq!(hasher.computed(), before + 1);
    }
}

#[test]
fn others_go_on_when_the_first_who_asked_has_gone() {
    let (users, hasher) = users(FILE);
    let verdict = lakh_core::block_on(async move {
        let first = lakh_core::spawn(users.verify("sha512", SECRET));
        lakh_core::yield_now().await;
        let other = lakh_core::spawn(users.verify("sha512", SECRET));
        lakh_core::yield_now().await;
        first.abort();
        other.await.unwrap().unwrap()
    });
    assert!(verdict.unwrap());
    assert!(hasher.computed() <= 2);
}
