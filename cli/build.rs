//! Tells the binary what it was built for and from, for `lakh --version`.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let known = |name: &str| env::var(name).unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo::rustc-env=LAKH_TARGET={}", known("TARGET"));
    println!("cargo::rustc-env=LAKH_PROFILE={}", known("PROFILE"));
    println!("cargo::rustc-env=LAKH_COMMIT={}", commit().map(|hash| format!(", {hash}")).unwrap_or_default());
}

/// The commit, if this is a checkout. A published crate has no `.git` beside its folder, and must
/// not ask for that of a repository further up.
fn commit() -> Option<String> {
    if !Path::new("../.git").exists() {
        return None;
    }
    // Every commit and every checkout writes here.
    println!("cargo::rerun-if-changed={}", git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    git(&["rev-parse", "--short", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
