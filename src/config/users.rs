//! Users and groups of the machine, by their numbers.

use super::section::Section;

/// Of a user or a group; the outer `None` is a mistake.
pub(super) fn number(section: &Section<'_>, name: &str) -> Option<Option<u32>> {
    if !section.has(name) {
        return Some(None);
    }
    let number = section.integer(name, 0..=HIGHEST)?;
    if number == NOBODY {
        section.refuse(name, "65534 is whoever has no number on this machine, such as all users of some container");
        return None;
    }
    u32::try_from(number).ok().map(Some)
}

/// The user whose socket is believed besides root's and ours. `sockets` are the keys that it is for.
pub(super) fn socket_owner(section: &Section<'_>, sockets: &[&str]) -> Option<u32> {
    let owner = number(section, "socket_owner")?;
    if owner.is_some() && !sockets.iter().any(|name| section.has(name)) {
        section.refuse("socket_owner", format!("is for {}, which is not set", sockets.join(" or ")));
    }
    owner
}

/// 4294967295 stands for "none" in system calls.
const HIGHEST: u64 = 4_294_967_294;
/// The kernel shows users of another user namespace as this one (user_namespaces(7)).
const NOBODY: u64 = 65_534;
