//! Wrong handlers do not compile, and the compiler says what to do; see [`compiler`].

mod compiler;

use compiler::Cases;
use std::sync::LazyLock;

static CASES: LazyLock<Cases> = LazyLock::new(|| Cases::new(env!("CARGO_MANIFEST_DIR"), &["lakh_http"]));

macro_rules! cases {
    ($($test:ident: $case:literal;)*) => { $(
        #[test]
        fn $test() {
            CASES.says_what_to_do($case);
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
    CASES.every_case_is_in(include_str!("compile_errors.rs"));
}
