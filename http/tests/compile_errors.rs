//! Wrong handlers do not compile, and the compiler says what to do: each file of `compile_errors/` begins with
//! what it has to say, in lines that start with `//~`.
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

/// The library that this test was built with: the newest one that a correct service compiles with.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let good = cases().join("good.rs");
    let mut failed = String::new();
    for library in libraries() {
        let output = compile(&good, &library);
        if output.status.success() {
            return library;
        }
        failed = String::from_utf8_lossy(&output.stderr).into_owned();
    }
    panic!("a correct service does not compile: {failed}");
});

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile_errors")
}

/// The newest first: builds with other features or flags may lie beside them.
fn libraries() -> Vec<PathBuf> {
    let files = fs::read_dir(&*DEPS).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = files
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("liblakh_http-") && name.ends_with(".rlib")
        })
        .collect();
    let age = |path: &PathBuf| {
        fs::metadata(path).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    found.sort_by_key(|path| std::cmp::Reverse(age(path)));
    found
}

fn compile(case: &Path, library: &Path) -> Output {
    // Into a folder of its own: rustc puts a file in the place of whatever it is told to write to.
    let out = tempfile::tempdir().unwrap();
    Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"])
        .arg(out.path())
        .arg("-L")
        .arg(format!("dependency={}", DEPS.display()))
        .arg("--extern")
        .arg(format!("lakh_http={}", library.display()))
        .arg(case)
        .output()
        .expect("rustc runs")
}

/// What the compiler says of a case, which must not compile, contains the case's own lines.
fn says_what_to_do(case: &str) {
    let path = cases().join(case).with_extension("rs");
    let source = fs::read_to_string(&path).unwrap();
    let output = compile(&path, &LIBRARY);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{case} compiles");
    let expected: Vec<_> = source.lines().filter_map(|line| line.strip_prefix("//~ ")).collect();
    assert!(!expected.is_empty(), "{case} expects nothing");
    for words in expected {
        assert!(said.contains(words), "{case}: no {words:?} in\n{said}");
    }
}

macro_rules! cases {
    ($($test:ident: $case:literal;)*) => { $(
        #[test]
        fn $test() {
            says_what_to_do($case);
        }
    )* };
}

cases! {
    a_parameter_that_is_no_extractor: "parameter";
    a_parameter_of_an_async_function_that_is_no_extractor: "async_parameter";
    a_body_in_a_plain_function: "body_in_a_plain_function";
    two_parameters_that_take_the_body: "two_bodies";
    a_result_that_is_no_answer: "return_type";
    a_tuple_that_lacks_its_body: "tuple";
    an_async_result_that_is_no_answer: "async_return_type";
    state_of_an_app_that_has_none: "missing_state";
    state_of_another_type: "other_state";
    a_type_that_is_no_middleware: "middleware";
    a_check_that_does_not_say_who_it_is: "check";
    a_type_that_is_no_extractor_where_one_is_wanted: "own_extractor";
    header_fields_of_a_type_that_has_none: "header_fields";
}

#[test]
fn every_case_is_a_test() {
    let here = include_str!("compile_errors.rs");
    for entry in fs::read_dir(cases()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(here.contains(&format!("\"{name}\"")) || here.contains(&format!("\"{name}.rs\"")), "{name}");
    }
}
