//~ cannot stand for the header fields of an answer
//~ use an array of names and values
use lakh_http::HeaderFields;

fn needs(_: impl HeaderFields) {}

pub fn ask() {
    needs(vec![("x-a", "b")]);
}
