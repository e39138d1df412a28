// Compiles: so that the others fail for their own reasons alone.
use lakh_http::{App, Bytes, extract::{Path, State}};

async fn store(State(name): State<String>, Path(id): Path<u64>, body: Bytes) -> String {
    format!("{name} {id} {}", body.len())
}

pub fn app() -> App<String> {
    App::with_state("name".to_owned()).get("/", || "hello").post("/{id}", store)
}
