//! Who may come in: `--auth` and `--auth-file`.

use crate::{args::Serve, failure::Failure};
use lakh_password::{Error, Hasher, Htpasswd};
use std::{ffi::OsStr, fs, io, path::Path};

/// The users of both options; `None` if everybody may come in.
pub(crate) fn users(options: &Serve) -> Result<Option<Htpasswd>, Failure> {
    if options.auth.is_empty() && options.auth_file.is_none() {
        return Ok(None);
    }
    let mut users = Htpasswd::new(Hasher::default()).map_err(|error| Failure::broken(error.to_string()))?;
    for line in &options.auth {
        users.add_line(line).map_err(|error| wrong_line(line, &error))?;
    }
    if let Some(file) = &options.auth_file {
        users.add_file(file).map_err(|error| wrong_file(file, &error))?;
        if users.is_empty() {
            return Err(Failure::refused(format!("there is no user in {file:?}, so nobody could come in")));
        }
        if is_served(file, &options.path) {
            let message = format!("{file:?} would be served itself; keep it outside of {:?}", options.path);
            return Err(Failure::refused(message));
        }
    }
    Ok(Some(users))
}

/// It does not show the value: there may be a password in it.
fn wrong_line(line: &str, error: &Error) -> Failure {
    let hash = line.split_once(':').map_or("", |(_, hash)| hash);
    let eaten = !hash.is_empty() && !hash.starts_with('$') && hash.contains(['=', ',']);
    let hint =
        if eaten { "; has the shell replaced what begins with $? Write it in single quotes" } else { "" };
    Failure::refused(format!("--auth takes USER:HASH: {error}{hint}"))
}

fn wrong_file(file: &Path, error: &Error) -> Failure {
    Failure::refused(format!("cannot use the password file {file:?}: {error}"))
}

/// Whether those who come in could fetch the file. Names that begin with a dot are hidden, but for one.
fn is_served(file: &Path, root: &Path) -> bool {
    let inside = || -> io::Result<bool> {
        let (file, root) = (fs::canonicalize(file)?, fs::canonicalize(root)?);
        let Ok(below) = file.strip_prefix(&root) else { return Ok(false) };
        let is_hidden = |name: &OsStr| name.as_encoded_bytes().starts_with(b".") && name != ".well-known";
        Ok(!below.iter().any(is_hidden))
    };
    // What has no path, such as a pipe, cannot be fetched.
    inside().unwrap_or(false)
}
