//! Whether another run still lives: its process, where it is one of this machine, or else whether it said so lately.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::HEARTBEAT_TIMEOUT;

/// A process, named so that no later one is taken for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    /// Differs for each start of each machine.
    boot: String,
    /// Process ids mean something within one of these only.
    namespace: String,
    id: u32,
    /// Clock ticks from the start of the machine to that of the process: ids are used again.
    started: u64,
}

impl Process {
    /// This process, where the system tells (Linux does).
    pub(super) fn this() -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?.display().to_string();
        let id = std::process::id();
        Some(Self { boot, namespace, id, started: started(id)? })
    }

    /// One of this machine that has ended.
    #[cfg(test)]
    pub(super) fn ended() -> Option<Self> {
        Self::this().map(|this| Self { started: this.started + 1, ..this })
    }

    /// Whether it runs; nothing where it is of another machine or another container.
    fn lives(&self) -> Option<bool> {
        let this = Self::this()?;
        let comparable = this.boot == self.boot && this.namespace == self.namespace;
        comparable.then(|| started(self.id) == Some(self.started))
    }
}

/// When a process started, from `/proc/ID/stat`; nothing where there is none, or where it has ended and nobody took notice yet.
fn started(id: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program stands in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // Field 22; the state is field 3.
    fields.nth(18)?.parse().ok()
}

/// Whether a run is dead that is `process` and was heard of `silence` ago by the clock of the store.
pub(super) fn is_dead(process: Option<&Process>, silence: Duration) -> bool {
    match process.and_then(Process::lives) {
        Some(lives) => !lives,
        None => silence > HEARTBEAT_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_this_machine_is_looked_at_and_others_by_their_silence() {
        let this = Process::this().unwrap();
        let long = HEARTBEAT_TIMEOUT * 2;
        assert!(!is_dead(Some(&this), long), "it runs, however silent it is");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let other = Process { id: child.id(), started: started(child.id()).unwrap(), ..this.clone() };
        assert!(!is_dead(Some(&other), long));
        child.kill().unwrap();
        while started(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert!(is_dead(Some(&other), Duration::ZERO), "killed, and its parent has not asked for it yet");
        child.wait().unwrap();
        assert!(is_dead(Some(&other), Duration::ZERO));
        assert!(is_dead(Some(&Process { started: this.started + 1, ..this.clone() }), Duration::ZERO), "the id was used again");
        let elsewhere = Process { boot: "another machine".into(), ..this };
        assert!(!is_dead(Some(&elsewhere), HEARTBEAT_TIMEOUT / 2) && is_dead(Some(&elsewhere), long));
        assert!(!is_dead(None, Duration::ZERO) && is_dead(None, long));
    }
}
