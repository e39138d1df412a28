//! Where and when a measurement was made.

/// A few lines for the head of a report.
pub fn describe() -> String {
    let now = httpdate::fmt_http_date(std::time::SystemTime::now());
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let model = first_value("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = first_value("/proc/meminfo", "MemTotal").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let peers = ["hyper", "tokio", "actix-web", "fastwebsockets", "tungstenite"].map(version_of);
    format!(
        "{now}; {cpus} × {model}, {memory}, Linux {}, load average {load} at the start\n{}\n",
        kernel.trim(),
        peers.join(", ")
    )
}

fn first_value(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The version this build was locked to.
fn version_of(package: &str) -> String {
    let lock = include_str!("../Cargo.lock");
    let entry = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&entry).and_then(|(_, rest)| rest.split('"').next());
    format!("{package} {}", version.unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(version_of("hyper").starts_with("hyper 1."));
        assert!(version_of("actix-web").starts_with("actix-web 4."));
    }
}
