//! Who has fetched our bundle, as far as an endpoint that authenticates nobody can know.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::endpoint_client::escaped;
use super::timestamp::Timestamp;

/// The latest fetchers since the start, in bounded memory. Strangers can crowd out each other, and not those who have
/// been coming back.
#[derive(Debug)]
pub(crate) struct Fetchers {
    clock: Arc<Clock>,
    since: Timestamp,
    table: Mutex<Table>,
}

/// Somebody who has fetched our bundle. Behind a proxy, the address is the proxy's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FetcherStatus {
    pub(crate) address: IpAddr,
    /// As it was sent, escaped and cut: anybody can write anything there.
    pub(crate) user_agent: Option<String>,
    /// The newest that was sent to it, or that it said it has.
    pub(crate) sequence: u64,
    pub(crate) last_seen: Timestamp,
}

/// All of them, the latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) since: Timestamp,
    pub(crate) fetchers: Vec<FetcherStatus>,
    /// How many made room for others.
    pub(crate) forgotten: u64,
}

impl Fetchers {
    pub(crate) fn new(clock: Arc<Clock>) -> Self {
        Self { since: clock.now(), clock, table: Mutex::default() }
    }

    /// Somebody has our bundle of this sequence. Not for each request: it takes a lock.
    pub(crate) fn note(&self, address: IpAddr, user_agent: Option<&[u8]>, sequence: u64) {
        let shown = |agent: &[u8]| escaped(&String::from_utf8_lossy(&agent[..agent.len().min(MAX_AGENT_BYTES)])).into();
        let fetcher = Fetcher { address: address.to_canonical(), user_agent: user_agent.map(shown) };
        let now = self.clock.now();
        self.table.lock().unwrap_or_else(PoisonError::into_inner).note(fetcher, sequence, now);
    }

    pub(crate) fn noted(&self) -> Noted {
        let (seen, forgotten) = {
            let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            (table.seen.clone(), table.forgotten)
        };
        let status = |(fetcher, seen): (Fetcher, Seen)| FetcherStatus {
            address: fetcher.address,
            user_agent: fetcher.user_agent.map(|agent| agent.to_string()),
            sequence: seen.sequence,
            last_seen: seen.last,
        };
        let mut fetchers: Vec<_> = seen.into_iter().map(status).collect();
        fetchers.sort_by_key(|fetcher| std::cmp::Reverse(fetcher.last_seen));
        Noted { since: self.since, fetchers, forgotten }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fetcher {
    address: IpAddr,
    user_agent: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    sequence: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Seen {
    /// Whoever came back after a while and not long ago: what a flood of strangers is not.
    fn is_regular(&self, now: Timestamp) -> bool {
        self.last.since(self.first) >= AFTER_A_WHILE && now.since(self.last) < LONG_AGO
    }
}

#[derive(Debug, Default)]
struct Table {
    seen: BTreeMap<Fetcher, Seen>,
    forgotten: u64,
}

impl Table {
    fn note(&mut self, fetcher: Fetcher, sequence: u64, now: Timestamp) {
        if let Some(seen) = self.seen.get_mut(&fetcher) {
            // Two workers may tell of one fetcher out of order.
            (seen.sequence, seen.last) = (seen.sequence.max(sequence), now);
            return;
        }
        let own = network(fetcher.address);
        self.make_room(MAX_OF_NETWORK, now, |other| network(other.address) == own);
        self.make_room(MAX_FETCHERS, now, |_| true);
        self.seen.insert(fetcher, Seen { sequence, first: now, last: now });
    }

    /// Forgets one of those that are `such` if there are as many as may be: the one unseen longest, regulars last.
    fn make_room(&mut self, most: usize, now: Timestamp, such: impl Fn(&Fetcher) -> bool) {
        let among = || self.seen.iter().filter(|(fetcher, _)| such(fetcher));
        if among().count() < most {
            return;
        }
        let least = among().min_by_key(|(_, seen)| (seen.is_regular(now), seen.last));
        if let Some(least) = least.map(|(fetcher, _)| fetcher.clone()) {
            self.seen.remove(&least);
            self.forgotten += 1;
        }
    }
}

/// What one party can have many addresses of: the first 64 bits with IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

const MAX_FETCHERS: usize = 1_000;
const MAX_OF_NETWORK: usize = 32;
const MAX_AGENT_BYTES: usize = 256;
const AFTER_A_WHILE: Duration = Duration::from_secs(60);
const LONG_AGO: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustls::pki_types::UnixTime;
    use rustls::time_provider::TimeProvider;

    use super::*;

    #[derive(Debug)]
    struct Hand(AtomicU64);

    impl TimeProvider for Hand {
        fn current_time(&self) -> Option<UnixTime> {
            Some(Timestamp::from_secs(self.0.load(Ordering::Relaxed)).into())
        }
    }

    struct Door {
        hand: Arc<Hand>,
        fetchers: Fetchers,
    }

    impl Door {
        fn new() -> Self {
            let hand = Arc::new(Hand(AtomicU64::new(1_000)));
            Self { hand: hand.clone(), fetchers: Fetchers::new(Arc::new(Clock::new(hand, None))) }
        }

        fn after(&self, seconds: u64) {
            self.hand.0.fetch_add(seconds, Ordering::Relaxed);
        }

        fn note(&self, address: &str, agent: &str, sequence: u64) {
            self.fetchers.note(address.parse().unwrap(), Some(agent.as_bytes()), sequence);
        }

        /// From as many addresses.
        fn flood(&self, count: u32) {
            for number in 0..count {
                let address = Ipv4Addr::from_bits(0x0b00_0000 + number);
                self.fetchers.note(address.into(), None, 1);
            }
        }

        fn knows(&self, address: &str) -> bool {
            let address: IpAddr = address.parse().unwrap();
            self.fetchers.noted().fetchers.iter().any(|fetcher| fetcher.address == address)
        }
    }

    #[test]
    fn a_fetcher_is_an_address_and_a_user_agent_with_the_newest_it_has() {
        let door = Door::new();
        door.note("10.0.0.1", "comity/0.1.0", 7);
        door.after(5);
        door.note("::ffff:10.0.0.1", "comity/0.1.0", 8);
        door.note("10.0.0.1", "comity/0.1.0", 7);
        door.after(5);
        door.fetchers.note("10.0.0.1".parse().unwrap(), None, 7);
        let noted = door.fetchers.noted();
        let seen: Vec<_> = noted
            .fetchers
            .iter()
            .map(|it| (it.user_agent.as_deref(), it.sequence, it.last_seen.as_secs(), it.address.to_string()))
            .collect();
        let address = || "10.0.0.1".to_owned();
        assert_eq!(seen, [(None, 7, 1_010, address()), (Some("comity/0.1.0"), 8, 1_005, address())]);
        assert_eq!((noted.since.as_secs(), noted.forgotten), (1_000, 0));
    }

    #[test]
    fn what_a_stranger_writes_is_escaped_and_cut() {
        let door = Door::new();
        for agent in [&b"\x1b[2J\n"[..], b"\xff\xfe", &[b'x'; 100_000]] {
            door.fetchers.note("10.0.0.1".parse().unwrap(), Some(agent), 1);
        }
        for fetcher in door.fetchers.noted().fetchers {
            let agent = fetcher.user_agent.unwrap();
            assert!(agent.chars().count() <= 201 && !agent.contains(char::is_control), "{agent}");
        }
    }

    #[test]
    fn one_network_pushes_out_nobody_but_itself() {
        let door = Door::new();
        for address in ["10.0.0.1", "2001:db8:1::1"] {
            door.note(address, "quiet", 1);
        }
        for number in 0..2_000 {
            door.note("10.0.0.2", &number.to_string(), 1);
            door.note(&format!("2001:db8:2::{number}"), "", 1);
        }
        let noted = door.fetchers.noted();
        assert_eq!((noted.fetchers.len(), noted.forgotten), (2 + 2 * MAX_OF_NETWORK, 4_000 - 64));
        assert!(door.knows("10.0.0.1") && door.knows("2001:db8:1::1"));
    }

    #[test]
    fn a_flood_pushes_out_strangers_before_those_who_come_back() {
        let door = Door::new();
        door.note("10.0.0.1", "regular", 1);
        door.note("10.0.0.2", "once", 1);
        door.after(300);
        door.note("10.0.0.1", "regular", 1);
        door.after(300);
        door.flood(5_000);
        assert!(door.knows("10.0.0.1") && !door.knows("10.0.0.2"));
        assert_eq!(door.fetchers.noted().fetchers.len(), MAX_FETCHERS);
        door.after(86_400);
        door.note("10.0.0.3", "", 1);
        assert!(!door.knows("10.0.0.1"), "who has not come for a day is no better than a stranger");
    }
}
