//! Files that must not compile, and what the compiler says of them: each begins with what that has to be, in lines
//! that start with `//~`.
//!
//! Only these words are compared, and not the compiler's own, which change from one version to the next.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
    time::SystemTime,
};

/// Where cargo has put the libraries of this test.
static DEPS: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::current_exe().unwrap().parent().unwrap().to_owned());

/// A folder of cases, and the libraries that they use.
pub(crate) struct Cases {
    folder: PathBuf,
    libraries: Vec<Library>,
}

type Library = (&'static str, PathBuf);

impl Cases {
    /// With the libraries that this test was built with: the newest ones that the case `good` compiles with.
    pub(crate) fn new(package: &str, crates: &[&'static str]) -> Self {
        let folder = Path::new(package).join("tests/compile_errors");
        let good = folder.join("good.rs");
        let mut failed = String::new();
        for libraries in combinations(crates) {
            let output = compile(&good, &libraries);
            if output.status.success() {
                return Cases { folder, libraries };
            }
            failed = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        panic!("a correct service does not compile: {failed}");
    }

    /// What the compiler says of a case, which must not compile, contains the case's own lines.
    pub(crate) fn says_what_to_do(&self, case: &str) {
        let path = self.folder.join(case).with_extension("rs");
        let source = fs::read_to_string(&path).unwrap();
        let output = compile(&path, &self.libraries);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{case} compiles");
        let expected: Vec<_> = source.lines().filter_map(|line| line.strip_prefix("//~ ")).collect();
        assert!(!expected.is_empty(), "{case} expects nothing");
        for words in expected {
            assert!(said.contains(words), "{case}: no {words:?} in\n{said}");
        }
    }

    /// Each file of the folder is named in the test's own text.
    pub(crate) fn every_case_is_in(&self, test: &str) {
        for entry in fs::read_dir(&self.folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            assert!(name == "good" || test.contains(&format!("\"{name}\"")), "{name}");
        }
    }
}

/// Builds with other features or flags may lie beside each other: every choice of one library of each crate.
fn combinations(crates: &[&'static str]) -> Vec<Vec<Library>> {
    crates.iter().fold(vec![Vec::new()], |chosen, name| {
        let found = libraries(name);
        let with = |before: &Vec<Library>, path: &PathBuf| {
            before.iter().cloned().chain([(*name, path.clone())]).collect()
        };
        chosen.iter().flat_map(|before| found.iter().map(move |path| with(before, path))).collect()
    })
}

/// The newest first.
fn libraries(name: &str) -> Vec<PathBuf> {
    let start = format!("lib{name}-");
    let files = fs::read_dir(&*DEPS).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = files
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(&start) && name.ends_with(".rlib")
        })
        .collect();
    let age = |path: &PathBuf| {
        fs::metadata(path).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    found.sort_by_key(|path| std::cmp::Reverse(age(path)));
    found
}

fn compile(case: &Path, libraries: &[Library]) -> Output {
    // Into a folder of its own: rustc puts a file in the place of whatever it is told to write to.
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
    command.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"]).arg(out.path());
    command.arg("-L").arg(format!("dependency={}", DEPS.display()));
    for (name, path) in libraries {
        command.arg("--extern").arg(format!("{name}={}", path.display()));
    }
    command.arg(case).output().expect("rustc runs")
}
