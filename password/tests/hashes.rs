//! Hashes that others made, and ours.

use lakh_password::{Algorithm, Hasher, PasswordHash, Verdict};

fn verdict(password: &str, stored: &str) -> Verdict {
    let (stored, password): (PasswordHash, _) = (stored.parse().unwrap(), password.to_owned());
    let hasher = Hasher::new(Algorithm::ARGON2ID).unwrap();
    lakh_core::block_on(async move { hasher.verify(password, Some(&stored)).await.unwrap() }).unwrap()
}

/// The first three lines were made by `htpasswd -nbB -C 5`, `-nb2` and `-nb5` of Apache 2.4.71.
#[test]
fn hashes_of_other_programs_are_understood() {
    for (password, stored) in [
        ("correct horse", "$2y$05$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C"),
        ("correct horse", "$5$kz.yXdJChQedAT6N$oL1ARFuCzfozv94Ai..e7qW2VjulRhlboz5JTht07zB"),
        (
            "correct horse",
            "$6$LFNMO7fdWJylY.K7$Ol8.GkuDBDSIth5hp5FTkQBA7x1l48rhfKOKo4BPq9dGEZkUGkw2oojLp.0nr85CLr0Pl2TAX8yYDvsAD1nU.1",
        ),
    ] {
        assert_eq!(verdict(password, stored), Verdict::Outdated, "{stored}");
        assert_eq!(verdict("correct house", stored), Verdict::Wrong, "{stored}");
    }
}

#[test]
fn what_protects_nothing_is_refused_and_not_shown() {
    for (text, what) in [
        ("$apr1$u69lKRQ.$wW6Ctlov/hxWUjvVLeImX1", "MD5"),
        ("{SHA}EfatjsUqKYSrqv18O1FlA3hcIHI=", "SHA-1"),
        ("hunter2", "plain password"),
        ("dXR81IZdbMI3o", "crypt(3)"),
        ("$argon2id$v=19$m=19456,t=2,p=1", "damaged"),
        ("$6$rounds=5000$salt$short", "damaged"),
    ] {
        let error = text.parse::<PasswordHash>().unwrap_err();
        assert!(error.is_format() && error.to_string().contains(what), "{error}");
        assert!(!error.to_string().contains(text), "{error}");
    }
    for text in [
        "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$2b$31$yW7aBDyn5fjbK0gQiuyKg.Xpf9bWVMo7zIYBxpyo035jHsuOI7g9C",
        "$5$rounds=999999999$kz.yXdJChQedAT6N$oL1ARFuCzfozv94Ai..e7qW2VjulRhlboz5JTht07zB",
    ] {
        assert!(text.parse::<PasswordHash>().unwrap_err().is_cost(), "{text}");
    }
}

#[test]
fn ours_are_right_for_their_password_alone_and_outdated_when_the_costs_change() {
    let cheap = [
        Algorithm::Argon2id { memory_kib: 64, passes: 1, lanes: 1 },
        Algorithm::Scrypt { log_n: 4, r: 8, p: 1 },
        Algorithm::Pbkdf2 { rounds: 1000 },
        Algorithm::Bcrypt { cost: 4 },
    ];
    for algorithm in cheap {
        let (now, later) = (Hasher::new(algorithm).unwrap(), Hasher::new(Algorithm::ARGON2ID).unwrap());
        lakh_core::block_on(async move {
            let made = now.hash("secret").await.unwrap();
            let other = now.hash("secret").await.unwrap();
            assert_ne!(made, other, "salts differ");
            let read: PasswordHash = made.to_string().parse().unwrap();
            assert_eq!(now.verify("secret", Some(&read)).await.unwrap(), Verdict::Right, "{made}");
            assert_eq!(now.verify("Secret", Some(&read)).await.unwrap(), Verdict::Wrong, "{made}");
            assert_eq!(later.verify("secret", Some(&read)).await.unwrap(), Verdict::Outdated, "{made}");
            assert_eq!(now.verify("secret", None).await.unwrap(), Verdict::Wrong);
        })
        .unwrap();
    }
}

/// What bcrypt does not take whole is refused when it is chosen, and costs its hash when somebody guesses it.
#[test]
fn long_passwords_are_refused_by_bcrypt_and_cost_nobody_less() {
    let hasher = Hasher::new(Algorithm::Bcrypt { cost: 4 }).unwrap();
    lakh_core::block_on(async move {
        let long = "x".repeat(72);
        assert!(hasher.hash(&long).await.unwrap_err().is_password());
        assert_eq!(hasher.computed(), 0);
        let stored = hasher.hash(&long[..71]).await.unwrap();
        for stored in [Some(&stored), None] {
            let before = hasher.computed();
            assert_eq!(hasher.verify(&long, stored).await.unwrap(), Verdict::Wrong);
            assert_eq!(hasher.computed(), before + 1);
        }
    })
    .unwrap();
}
