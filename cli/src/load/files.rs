//! The files that a report goes to.

use super::Load;
use crate::failure::Failure;
use lakh_loadtest::report::{Report, percentiles};
use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// They are opened before the run: who cannot write them should know before, not after it. What is in them stays until
/// there is something new.
pub(super) struct Files {
    json: Option<(PathBuf, File)>,
    html: Option<(PathBuf, File)>,
    hdr: Option<(PathBuf, File)>,
}

impl Files {
    pub(super) fn create(options: &Load) -> Result<Files, Failure> {
        let create = |path: &Option<PathBuf>| {
            let create =
                |path: &PathBuf| match File::options().write(true).create(true).truncate(false).open(path) {
                    Ok(file) => Ok((path.clone(), file)),
                    Err(error) => Err(Failure::refused(problem(path, &error))),
                };
            path.as_ref().map(create).transpose()
        };
        Ok(Files { json: create(&options.json)?, html: create(&options.html)?, hdr: create(&options.hdr)? })
    }

    /// Writes them all; the first problem is the error.
    pub(super) fn write(&mut self, report: &Report<'_>) -> Result<(), Failure> {
        let json = write(&mut self.json, || report.json());
        let html = write(&mut self.html, || report.html());
        let hdr = write(&mut self.hdr, || percentiles(&report.outcome.tally.response));
        json.and(html).and(hdr)
    }
}

fn write(file: &mut Option<(PathBuf, File)>, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let Some((path, file)) = file else { return Ok(()) };
    // A device or a pipe has no length.
    let _ = file.set_len(0);
    file.write_all(text().as_bytes()).map_err(|error| Failure::broken(problem(path, &error)))
}

fn problem(path: &Path, error: &io::Error) -> String {
    format!("cannot write {path:?}: {error}")
}
