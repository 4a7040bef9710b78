//! Files that carry trust: who may write them, when they change, how they are replaced, and how much room there is; and
//! sockets, which are files too.

pub(crate) mod believed_socket;
pub(crate) mod replace;
pub(crate) mod space;
pub(crate) mod trusted;
pub(crate) mod unix_socket;
pub(crate) mod watch;
