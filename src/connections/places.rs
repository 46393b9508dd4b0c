//! Who has a connection: so many per listener, so many per address.
//!
//! A connection that has not introduced itself holds its place only until somebody needs it: the oldest such
//! connection goes first. So silence costs nobody else anything; whoever is full of introduced connections
//! refuses the next.

use crate::connections::notices::{Notice, Notices};
use crate::connections::unread::Unread;
use crate::connections::waiting::Wait;
use futures_util::task::AtomicWaker;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

/// The places of one listener.
#[derive(Debug)]
pub struct Places {
    total: usize,
    per_address: usize,
    notices: Notices,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    taken: BTreeMap<u64, Taken>,
    /// Those that have not introduced themselves, oldest first.
    strangers: BTreeSet<u64>,
    by_address: BTreeMap<IpAddr, usize>,
    next: u64,
}

#[derive(Debug)]
struct Taken {
    address: IpAddr,
    standing: Arc<Standing>,
}

impl Places {
    /// Places for `whom`: so many at all, and so many for one address.
    pub fn new(whom: &'static str, total: usize, per_address: usize) -> Arc<Self> {
        let notices = Notices::new(whom);
        Arc::new(Self { total, per_address, notices, table: Mutex::default() })
    }

    /// Takes a place, if need be that of a connection that has not introduced itself. None: refused.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = household(address);
        let mut table = self.table();
        let full = if table.by_address.get(&address).is_some_and(|taken| *taken >= self.per_address) {
            Some((table.oldest_stranger(Some(address)), Notice::AddressFull))
        } else if table.taken.len() >= self.total {
            Some((table.oldest_stranger(None), Notice::ListenerFull))
        } else {
            None
        };
        match full {
            None => {}
            Some((Some(stranger), _)) => {
                if let Some(taken) = table.release(stranger) {
                    taken.standing.close(Notice::MadeRoom);
                }
            }
            Some((None, notice)) => {
                drop(table);
                self.notices.note(notice, &address);
                return None;
            }
        }
        let number = table.next;
        table.next += 1;
        let standing = Arc::new(Standing {
            places: Arc::clone(self),
            number,
            state: AtomicU8::new(STRANGER),
            waker: AtomicWaker::new(),
            unread: Unread::default(),
            wait: Wait::default(),
        });
        table.taken.insert(number, Taken { address, standing: Arc::clone(&standing) });
        table.strangers.insert(number);
        *table.by_address.entry(address).or_default() += 1;
        Some(Place { standing })
    }

    /// How many places are taken, and by how many that have not introduced themselves.
    pub fn taken(&self) -> (usize, usize) {
        let table = self.table();
        (table.taken.len(), table.strangers.len())
    }

    /// The connections on which answers lie that have not left yet.
    pub fn with_unread(&self) -> Vec<Arc<Standing>> {
        let table = self.table();
        let standings = table.taken.values().map(|taken| &taken.standing);
        standings.filter(|standing| standing.unread.lying() > 0).map(Arc::clone).collect()
    }

    /// What was refused and closed.
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is complete before anything that could panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn oldest_stranger(&self, of: Option<IpAddr>) -> Option<u64> {
        let lives_there = |number: &&u64| {
            of.is_none_or(|address| self.taken.get(number).is_some_and(|taken| taken.address == address))
        };
        self.strangers.iter().find(lives_there).copied()
    }

    fn release(&mut self, number: u64) -> Option<Taken> {
        let taken = self.taken.remove(&number)?;
        self.strangers.remove(&number);
        if let Some(count) = self.by_address.get_mut(&taken.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&taken.address);
            }
        }
        Some(taken)
    }
}

/// The address for which connections are counted: in IPv6 one host has at least a /64 to itself.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        address => address,
    }
}

/// A connection's place. Dropping it frees the place.
#[derive(Debug)]
pub struct Place {
    standing: Arc<Standing>,
}

impl Place {
    /// What others may know and decide about the connection.
    pub fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nothing is there if the place was given to another.
        self.standing.places.table().release(self.standing.number);
    }
}

const STRANGER: u8 = 0;
const INTRODUCED: u8 = 1;
const CLOSED: u8 = 2;

/// What is known of a connection: shared by its socket and the handlers of its requests.
#[derive(Debug)]
pub struct Standing {
    places: Arc<Places>,
    number: u64,
    state: AtomicU8,
    /// The task that reads and writes the connection.
    waker: AtomicWaker,
    unread: Unread,
    wait: Wait,
}

impl Standing {
    /// The connection has said who it is: it keeps its place from now on.
    pub fn introduce(&self) {
        if self.change(STRANGER, INTRODUCED) {
            self.places.table().strangers.remove(&self.number);
            self.waker.wake();
        }
    }

    /// Closes the connection, whatever is under way on it.
    pub fn close(&self, why: Notice) {
        if self.change(STRANGER, CLOSED) || self.change(INTRODUCED, CLOSED) {
            self.waker.wake();
            self.places.notices.note(why, &"");
        }
    }

    /// The connection's number, which no other has.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The answers on it that have not left yet.
    pub fn unread(&self) -> &Unread {
        &self.unread
    }

    /// How long what arrives on it waits until it is read.
    pub fn wait(&self) -> &Wait {
        &self.wait
    }

    /// Whether the connection has said who it is.
    pub fn is_introduced(&self) -> bool {
        self.state.load(Ordering::Acquire) == INTRODUCED
    }

    /// Whether the connection is to be closed.
    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) == CLOSED
    }

    /// Has the task woken when the state changes.
    pub fn watch(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.state.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn the_oldest_stranger_of_the_same_address_makes_room() {
        let places = Places::new("clients", 10, 2);
        let elsewhere = places.take(THERE).unwrap();
        let first = places.take(HERE).unwrap();
        let second = places.take(HERE).unwrap();
        let third = places.take(HERE).unwrap();
        assert!(first.standing().is_closed());
        assert!([&elsewhere, &second, &third].iter().all(|place| !place.standing().is_closed()));
        assert_eq!(places.taken(), (3, 3));
        // It had lost its place before.
        drop(first);
        assert_eq!(places.taken(), (3, 3));
    }

    #[test]
    fn those_that_are_introduced_keep_their_places() {
        let places = Places::new("clients", 2, 2);
        let first = places.take(HERE).unwrap();
        let second = places.take(HERE).unwrap();
        first.standing().introduce();
        second.standing().introduce();
        assert!(places.take(HERE).is_none());
        assert!(places.take(THERE).is_none());
        assert_eq!(places.notices().count(Notice::AddressFull), 1);
        assert_eq!(places.notices().count(Notice::ListenerFull), 1);
        drop(second);
        let third = places.take(THERE).unwrap();
        assert_eq!(places.taken(), (2, 1));
        // A stranger, so it goes.
        places.take(HERE).unwrap().standing().introduce();
        assert!(third.standing().is_closed() && !first.standing().is_closed());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let places = Places::new("clients", 10, 1);
        let first = places.take("2001:db8::1".parse().unwrap()).unwrap();
        first.standing().introduce();
        assert!(places.take("2001:db8::2".parse().unwrap()).is_none());
        let _other = places.take("2001:db8:0:1::1".parse().unwrap()).unwrap();
        // An IPv4 client of a listener for both.
        let _mapped = places.take("::ffff:10.0.0.1".parse().unwrap()).unwrap();
        let _same = places.take(HERE).unwrap();
        assert!(_mapped.standing().is_closed());
    }
}
