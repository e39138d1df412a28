//! Takes files from a form and writes them to a folder, with progress for who watches.
//!
//! ```text
//! cargo run --release --example upload -- --listen 127.0.0.1:8080 --dir /tmp/uploads
//! xdg-open http://127.0.0.1:8080/
//! curl -F file=@big.iso http://127.0.0.1:8080/uploads/1
//! curl -N http://127.0.0.1:8080/uploads/1/events
//! ```
//!
//! However long a file is, an upload takes the buffers of a [`FileWriter`], two of 256 KiB, and what one
//! read gives, 64 KiB: 576 KiB at most, while it is under way. A disk that is slower than the
//! client slows the client down. A file appears when all of it is there; one that breaks off leaves
//! nothing, and those of the same form before it stay. `grep VmHWM /proc/$(pidof upload)/status` shows the peak of the whole process.

#[path = "../common/flags.rs"]
mod flags;
mod progress;

use flags::{Flags, fail};
use lakh::{
    core::fs::FileWriter,
    http::{
        App, HandlerError, HandlerResult, Html, RouteLimits, Server, StatusCode,
        extract::{Field, FromState, Multipart, Path, State},
        sse::Sse,
    },
};
use progress::{Meter, Uploads};
use std::{path::PathBuf, sync::Arc, time::Duration};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LONGEST_BODY: u64 = 1 << 40;
/// How long a client may send too slowly; while it waits for the disk no time is counted.
const PATIENCE: Duration = Duration::from_secs(60);
const LONGEST_NAME: usize = 100;

/// One for all shards.
#[derive(Clone)]
struct Service {
    folder: Arc<PathBuf>,
    uploads: Arc<Uploads>,
}

impl FromState<Service> for Arc<Uploads> {
    fn from_state(service: &Service) -> Self {
        Arc::clone(&service.uploads)
    }
}

fn main() {
    let flags = Flags::from_args_and(8080, &["--dir"]);
    let folder = flags.others.last().map_or("uploads", |(_, folder)| folder);
    let folder = std::fs::create_dir_all(folder).and_then(|()| std::fs::canonicalize(folder));
    let folder = folder.unwrap_or_else(|error| fail(&format!("--dir: {error}")));
    if let Err(error) = run(&flags, folder) {
        fail(&format!("cannot serve on {}: {error}", flags.listen));
    }
}

fn run(flags: &Flags, folder: PathBuf) -> std::io::Result<()> {
    let service = Service { folder: Arc::new(folder), uploads: Arc::default() };
    let mut server = Server::new(move |_shard| app(service.clone()));
    if let Some(shards) = flags.shards {
        server = server.shards(shards);
    }
    let running = server.bind(flags.listen)?.start()?;
    let addr = running.addrs()[0];
    let report = running.run_until_signal(move || println!("listening on http://{addr}"), |_| {})?;
    if report.cut > 0 {
        eprintln!("upload: {} connections were cut", report.cut);
    }
    Ok(())
}

fn app(service: Service) -> App {
    App::new().get("/", || Html(include_str!("page.html"))).merge(
        App::with_state(service)
            .post("/uploads/{id}", upload)
            .limits(RouteLimits::new().body(LONGEST_BODY).stall(PATIENCE))
            .get("/uploads/{id}/events", events),
    )
}

fn events(State(uploads): State<Arc<Uploads>>, Path(id): Path<String>) -> HandlerResult<Sse> {
    uploads.watch(&id).map(progress::events)
}

/// A line for each file that was written.
async fn upload(
    State(service): State<Service>,
    Path(id): Path<String>,
    mut form: Multipart,
) -> HandlerResult<(StatusCode, String)> {
    let meter = service.uploads.begin(&id)?;
    let mut report = String::new();
    while let Some(field) = form.next_field().await? {
        // Other fields, and files that were not chosen, are skipped.
        if let Some(name) = field.file_name().map(safe_name) {
            let bytes = store(field, &service.folder.join(&name), &meter).await?;
            report += &format!("{name}: {bytes} bytes\n");
        }
    }
    if report.is_empty() {
        return Err(HandlerError::bad_request("the form has no file"));
    }
    Ok((StatusCode::CREATED, report))
}

async fn store(mut field: Field<'_>, path: &std::path::Path, meter: &Meter) -> HandlerResult<u64> {
    let taken = |error: lakh::fs::FileError| match error.is_already_exists() {
        true => HandlerError::new(StatusCode::CONFLICT, "there is a file of this name"),
        false => error.into(),
    };
    let mut file = FileWriter::options().create_new().open(path).await.map_err(taken)?;
    while let Some(chunk) = field.chunk().await? {
        file.write_all(&chunk).await?;
        meter.add(chunk.len());
    }
    file.finish().await.map_err(taken)
}

/// What is left of a name that a client made up: no path, nothing hidden, nothing that a shell or a
/// filesystem takes for something else.
fn safe_name(name: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let safe: String = name.chars().map(|c| if is_safe(c) { c } else { '_' }).take(LONGEST_NAME).collect();
    let visible = safe.trim_start_matches(['.', '-']);
    if visible.is_empty() { "file".to_owned() } else { visible.to_owned() }
}
