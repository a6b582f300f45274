//! Whether another run is alive: by its process if that is on this machine, and otherwise by the age of its heartbeat.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::HEARTBEAT_TIMEOUT;

/// A process, identified so that no later process is mistaken for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// Differs each time a machine boots.
    boot: String,
    /// The PID namespace: process ids are unique within it only.
    namespace: String,
    id: u32,
    /// Clock ticks between the boot and the start of the process: ids are reused.
    started: u64,
}

impl Process {
    /// This process. `None` on systems without `/proc`.
    pub(super) fn current() -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?.display().to_string();
        let id = std::process::id();
        Some(Self { boot, namespace, id, started: started(id)? })
    }

    /// A process on this machine that has ended.
    #[cfg(test)]
    pub(super) fn terminated() -> Option<Self> {
        Self::current().map(|current| Self { started: current.started + 1, ..current })
    }

    /// Whether it is running. `None` if it is on another machine or in another container, where that cannot be determined.
    pub(super) fn is_running(&self) -> Option<bool> {
        let current = Self::current()?;
        let is_comparable = current.boot == self.boot && current.namespace == self.namespace;
        is_comparable.then(|| started(self.id) == Some(self.started))
    }
}

/// The name of this machine, for messages.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "an unknown machine".to_owned(), |name| name.trim().to_owned())
}

/// When a process started, from `/proc/ID/stat`. `None` if there is no such process, or if it has ended and is a zombie.
fn started(id: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the name of the program in parentheses. It may contain anything, parentheses included.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // Field 22; the state is field 3.
    fields.nth(18)?.parse().ok()
}

/// Whether the run of `process` is alive. Its last heartbeat is this old by the clock of the store.
pub(super) fn is_alive(process: Option<&Process>, since_last_heartbeat: Duration) -> bool {
    process.and_then(Process::is_running).unwrap_or(since_last_heartbeat <= HEARTBEAT_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_runs_are_checked_by_process_and_others_by_heartbeat() {
        let current = Process::current().unwrap();
        let long = HEARTBEAT_TIMEOUT * 2;
        assert!(is_alive(Some(&current), long), "it runs, however old its heartbeat is");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = Process { id: child.id(), started: started(child.id()).unwrap(), ..current.clone() };
        assert!(is_alive(Some(&other), long));
        child.kill().unwrap();
        while started(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert!(!is_alive(Some(&other), Duration::ZERO), "killed, and still a zombie");
        child.wait().unwrap();
        assert!(!is_alive(Some(&other), Duration::ZERO));
        assert!(!is_alive(Some(&Process { started: current.started + 1, ..current.clone() }), Duration::ZERO), "the id was reused");
        let elsewhere = Process { boot: "another machine".into(), ..current };
        assert!(is_alive(Some(&elsewhere), HEARTBEAT_TIMEOUT / 2) && !is_alive(Some(&elsewhere), long));
        assert!(is_alive(None, Duration::ZERO) && !is_alive(None, long));
    }
}
