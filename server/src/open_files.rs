//! The process' limit of open files. Every connection costs one, and the databases need theirs, so connections must
//! never take the last of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files kept for everything but connections: databases, sockets to others, the log.
const KEPT: u64 = 256;

/// Raises the limit as far as the process may, and answers how many connections it leaves room for, at most `wanted`.
#[must_use]
pub fn room_for_connections(wanted: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let needed = (wanted as u64).saturating_add(KEPT);
    let raised = maximum.map_or(needed, |maximum| maximum.min(needed));
    let limit = match current {
        Some(current) if current < raised => {
            let done = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum });
            if done.is_ok() { raised } else { current }
        }
        Some(current) => current,
        None => return wanted,
    };
    let room = usize::try_from(limit.saturating_sub(KEPT).max(1)).unwrap_or(usize::MAX).min(wanted);
    if room < wanted {
        tracing::warn!(
            max_connections = wanted,
            room,
            limit,
            "the limit of open files leaves room for fewer connections"
        );
    }
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_take_the_last_files() {
        assert_eq!(room_for_connections(10), 10);
        let room = room_for_connections(usize::MAX) as u64;
        let limit = getrlimit(Resource::Nofile).current;
        assert!(limit.is_none_or(|limit| room + KEPT <= limit), "{room} of {limit:?}");
    }
}
