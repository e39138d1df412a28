//! What the compiler says of wrong services names paths of this crate; see [`compiler`].

#[path = "../http/tests/compiler/mod.rs"]
mod compiler;

use compiler::Cases;

#[test]
fn routes_of_web_sockets_are_imported_from_where_they_are() {
    let cases = Cases::new(env!("CARGO_MANIFEST_DIR"), &["lakh"]);
    cases.says_what_to_do("not_imported");
    cases.every_case_is_in(include_str!("compile_errors.rs"));
}
