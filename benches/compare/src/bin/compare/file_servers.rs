//! The servers of static files: a folder for all, and a configuration for each.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lakh_compare::process::Spec;
use lakh_compare::{Context, Error, Result, sys};

use crate::options::{H2O, LAKH, LIGHTTPD, NGINX};

/// So long after it was written, a file is like any other.
const SETTLED: Duration = Duration::from_secs(3);

/// Files to serve and configurations, removed when it is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// In the system's folder for temporary files; with files of these names and lengths that nothing can
    /// compress.
    pub(crate) fn new(files: &[(&str, usize)]) -> Result<Folder> {
        let path = std::env::temp_dir().join(format!("lakh-compare-{}", std::process::id()));
        let folder = Folder(path);
        let making = || format!("making {}", folder.0.display());
        fs::create_dir_all(folder.served()).context(making)?;
        if sys::is_on_tmpfs(&folder.0).context(making)? {
            let line = "the folder for temporary files is in memory: set TMPDIR to one on a disk";
            return Err(Error::new(line));
        }
        let mut random = fs::File::open("/dev/urandom").context(|| "/dev/urandom".to_owned())?;
        for (name, length) in files {
            let mut bytes = vec![0; *length];
            random.read_exact(&mut bytes).context(|| "/dev/urandom".to_owned())?;
            fs::write(folder.served().join(name.trim_start_matches('/')), bytes).context(making)?;
        }
        // Of a file that was just written lakh does not trust the time, and says so in its tag.
        std::thread::sleep(SETTLED);
        Ok(folder)
    }

    fn served(&self) -> PathBuf {
        self.0.join("served")
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, text).context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // left behind, it is one of many in there
    }
}

pub(crate) fn lakh(program: &Path, folder: &Folder) -> Spec {
    let (program, served) = (text(program), text(&folder.served()));
    let argv = [&program, "serve", &served, "-l", "127.0.0.1:0", "--shards", "1", "--log", "off"];
    Spec { name: LAKH.to_owned(), argv: argv.map(str::to_owned).to_vec(), address: None }
}

/// What the command line has added, with the folder in its place.
pub(crate) fn added(spec: &Spec, folder: &Folder) -> Spec {
    let served = text(&folder.served());
    Spec { argv: spec.argv.iter().map(|word| word.replace("{dir}", &served)).collect(), ..spec.clone() }
}

/// A peer with its configuration; `None` if it is not installed.
pub(crate) fn peer(name: &str, folder: &Folder) -> Result<Option<Spec>> {
    let Some(program) = installed(name) else { return Ok(None) };
    let (address, home) = (free_address()?, text(&folder.0));
    let text_of = match name {
        H2O => h2o,
        LIGHTTPD => lighttpd,
        NGINX => nginx,
        _ => return Err(Error::new(format!("there is no configuration for {name}"))),
    };
    let config = folder.write(&format!("{name}.conf"), &text_of(&home, &text(&folder.served()), address))?;
    let (program, config) = (text(&program), text(&config));
    let argv: Vec<&str> = match name {
        H2O => vec![&program, "-m", "worker", "-c", &config],
        LIGHTTPD => vec![&program, "-D", "-f", &config],
        _ => vec![&program, "-p", &home, "-c", &config],
    };
    let argv = argv.into_iter().map(str::to_owned).collect();
    Ok(Some(Spec { name: name.to_owned(), argv, address: Some(address) }))
}

fn h2o(home: &str, served: &str, address: SocketAddr) -> String {
    let user = if sys::is_root() { "user: root\n" } else { "" };
    format!(
        "{user}num-threads: 1\n\
         pid-file: {home}/h2o.pid\n\
         error-log: {home}/h2o.log\n\
         listen:\n  host: {}\n  port: {}\n\
         hosts:\n  default:\n    paths:\n      /:\n        file.dir: {served}\n",
        address.ip(),
        address.port(),
    )
}

/// Its sendfile is on by default. A connection ends after 1,000 requests unless told otherwise.
fn lighttpd(home: &str, served: &str, address: SocketAddr) -> String {
    format!(
        "server.document-root = \"{served}\"\n\
         server.bind = \"{}\"\n\
         server.port = {}\n\
         server.errorlog = \"{home}/lighttpd.log\"\n\
         server.max-keep-alive-requests = 65535\n\
         mimetype.assign = ( \"\" => \"application/octet-stream\" )\n",
        address.ip(),
        address.port(),
    )
}

/// What it remembers of open files is a second old at most, as with the others; its default is a minute.
fn nginx(home: &str, served: &str, address: SocketAddr) -> String {
    let user = if sys::is_root() { "user root;\n" } else { "" };
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {home}/{kind};\n"))
        .concat();
    format!(
        "{user}daemon off;\nworker_processes 1;\npid {home}/nginx.pid;\nerror_log stderr crit;\n\
         events {{ worker_connections 2048; }}\n\
         http {{\n{folders}\
         \x20 access_log off;\n  default_type application/octet-stream;\n\
         \x20 sendfile on;\n  tcp_nopush on;\n  keepalive_requests 1000000000;\n\
         \x20 open_file_cache max=1000 inactive=60s;\n  open_file_cache_valid 1s;\n\
         \x20 server {{ listen {address}; root {served}; }}\n}}\n"
    )
}

fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// One that was free just now.
fn free_address() -> Result<SocketAddr> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.context(|| "looking for a free port".to_owned())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_told_the_folder() {
        let folder = Folder(PathBuf::from("/nowhere/lakh"));
        let spec = Spec::parse("old=./old serve {dir} --root={dir}").unwrap();
        let argv = added(&spec, &folder).argv;
        assert_eq!(argv, ["./old", "serve", "/nowhere/lakh/served", "--root=/nowhere/lakh/served"]);
    }

    #[test]
    fn a_folder_has_its_files_and_is_gone_when_dropped() {
        let folder = Folder::new(&[("/a.bin", 1000)]).unwrap();
        let path = folder.served().join("a.bin");
        assert_eq!(fs::metadata(&path).unwrap().len(), 1000);
        drop(folder);
        assert!(!path.exists());
    }
}
