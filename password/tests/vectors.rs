//! The vectors of the RFCs. Where they have parameters that hashes in a file cannot have (a secret, too few rounds,
//! SHA-1), the crates that we use are asked directly.

use argon2::{Argon2, AssociatedData, ParamsBuilder, Version};
use lakh_password::{Hasher, PasswordHash};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::Sha256;

/// What our own way says, from the text of the hash to the verdict.
fn is_right(password: &str, stored: &str) -> bool {
    let (stored, password): (PasswordHash, _) = (stored.parse().expect(stored), password.to_owned());
    lakh_core::block_on(async move { Hasher::default().verify(password, Some(&stored)).await.unwrap() })
        .unwrap()
        .is_right()
}

/// Right for this password, and wrong for another one.
#[track_caller]
fn is_of(password: &str, stored: &str) {
    assert!(is_right(password, stored), "{stored}");
    assert!(!is_right(&format!("{password}."), stored), "{stored}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 9106, 5: with a secret and associated data, which the text of a hash does not tell.
#[test]
fn argon2_is_that_of_rfc_9106() {
    let params = ParamsBuilder::new()
        .m_cost(32)
        .t_cost(3)
        .p_cost(4)
        .data(AssociatedData::new(&[4; 12]).unwrap())
        .build()
        .unwrap();
    for (algorithm, tag) in [
        (argon2::Algorithm::Argon2d, "512b391b6f1162975371d30919734294f868e3be3984f3c1a13a4db9fabe4acb"),
        (argon2::Algorithm::Argon2i, "c814d9d1dc7f37aa13f0d77f2494bda1c8de6b016dd388d29952a4c4672b6ce8"),
        (argon2::Algorithm::Argon2id, "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"),
    ] {
        let argon2 = Argon2::new_with_secret(&[3; 8], algorithm, Version::V0x13, params.clone()).unwrap();
        let mut output = [0; 32];
        argon2.hash_password_into(&[1; 32], &[2; 16], &mut output).unwrap();
        assert_eq!(hex(&output), tag);
    }
}

/// Two of the reference implementation's (`test.c`), which have no secret.
#[test]
fn argon2_is_that_of_its_authors() {
    is_of(
        "password",
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
    );
    is_of(
        "password",
        "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
    );
}

/// RFC 7914, 12.
#[test]
fn scrypt_is_that_of_rfc_7914() {
    is_of(
        "pleaseletmein",
        "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw",
    );
    for (password, salt, (log_n, r, p), expected) in [
        (
            "",
            "",
            (4, 1, 1),
            "77d6576238657b203b19ca42c18a0497f16b4844e3074ae8dfdffa3fede21442fcd0069ded0948f8326a753a0fc81f17e8d3e0fb2e0d3628cf35e20c38d18906",
        ),
        (
            "password",
            "NaCl",
            (10, 8, 16),
            "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640",
        ),
    ] {
        let mut output = [0; 64];
        let params = scrypt::Params::new(log_n, r, p).unwrap();
        scrypt::scrypt(password.as_bytes(), salt.as_bytes(), &params, &mut output).unwrap();
        assert_eq!(hex(&output), expected);
    }
}

/// RFC 7914, 11: PBKDF2 with HMAC-SHA-256.
#[test]
fn pbkdf2_is_that_of_rfc_7914() {
    for (password, salt, rounds, expected) in [
        (
            "passwd",
            "salt",
            1,
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783",
        ),
        (
            "Password",
            "NaCl",
            80_000,
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d",
        ),
    ] {
        let mut output = [0; 64];
        pbkdf2_hmac::<Sha256>(password.as_bytes(), salt.as_bytes(), rounds, &mut output);
        assert_eq!(hex(&output), expected);
    }
}

/// RFC 6070: PBKDF2 with HMAC-SHA-1, whose hashes we refuse. It is the same code with another hash.
#[test]
fn pbkdf2_is_that_of_rfc_6070() {
    for (password, salt, rounds, expected) in [
        ("password", "salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
        ("password", "salt", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
        ("password", "salt", 4096, "4b007901b765489abead49d926f721d065a429c1"),
        (
            "passwordPASSWORDpassword",
            "saltSALTsaltSALTsaltSALTsaltSALTsalt",
            4096,
            "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038",
        ),
        ("pass\0word", "sa\0lt", 4096, "56fa6aa75548099dcc37d7f03425e0c3"),
    ] {
        let mut output = vec![0; expected.len() / 2];
        pbkdf2_hmac::<Sha1>(password.as_bytes(), salt.as_bytes(), rounds, &mut output);
        assert_eq!(hex(&output), expected);
    }
}

/// PBKDF2 as RFC 8018 has it, by parameters that a file can have; the value is that of Python's `hashlib`.
#[test]
fn pbkdf2_is_that_of_others() {
    is_of(
        "correct horse",
        "$pbkdf2-sha256$i=5000,l=32$c2l4dGVlbiBieXRlcyBvaw$ELzE2zLWQAiRAaOXVjW7n8CIHsdKqx6hKIGhJUJxEl0",
    );
}

/// What crypt(3) of glibc says.
#[test]
fn sha_crypt_and_bcrypt_are_those_of_crypt() {
    let sha_crypt = [
        "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    ];
    sha_crypt.into_iter().for_each(|stored| is_of("Hello world!", stored));
    is_of("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
}
