//! Wrong handlers do not compile, and the compiler says what to do; see [`compiler`].

#[path = "../../http/tests/compiler/mod.rs"]
mod compiler;

use compiler::Cases;
use std::sync::LazyLock;

static CASES: LazyLock<Cases> =
    LazyLock::new(|| Cases::new(env!("CARGO_MANIFEST_DIR"), &["lakh_ws", "lakh_http"]));

macro_rules! cases {
    ($($test:ident: $case:literal;)*) => { $(
        #[test]
        fn $test() {
            CASES.says_what_to_do($case);
        }
    )* };
}

cases! {
    a_handler_without_a_socket: "no_socket";
    a_handler_whose_socket_is_not_first: "socket_behind";
    a_handler_that_returns_a_result: "returns_a_result";
    a_function_that_is_not_async: "not_async";
    a_parameter_that_takes_the_body: "takes_the_body";
    state_of_another_type: "other_state";
    callbacks_where_a_function_is_wanted: "callbacks_without_a_function";
    a_function_that_makes_no_callbacks: "callbacks_of_something_else";
    callbacks_of_a_function_that_is_async: "callbacks_of_an_async_function";
    a_message_that_is_none: "a_message_of_another_type";
}

#[test]
fn every_case_is_a_test() {
    CASES.every_case_is_in(include_str!("compile_errors.rs"));
}
