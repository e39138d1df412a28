//! Who is in which room, and what was last said there: for all shards.

use lakh::ws::Topics;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

const MOST_ROOMS: usize = 1_000;
const MOST_PEOPLE: usize = 500;
const HISTORY: usize = 50;

/// What a page is told, as JSON. Numbers grow within a room; what two shards publish at the same time may come in
/// another order than theirs.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Event<'a> {
    Welcome {
        /// When the room was made: its numbers count from there.
        since: u64,
        id: u64,
        people: Vec<&'a str>,
        history: Vec<&'a Said>,
    },
    Said(&'a Said),
    Joined {
        id: u64,
        name: &'a str,
    },
    Left {
        id: u64,
        name: &'a str,
    },
}

#[derive(Serialize)]
pub(crate) struct Said {
    id: u64,
    /// Milliseconds since 1970.
    at: u64,
    name: String,
    text: String,
}

/// As many rooms, or people in one, as there may be.
pub(crate) struct Full;

pub(crate) struct Rooms {
    topics: Topics,
    rooms: Mutex<HashMap<String, Room>>,
}

struct Room {
    since: u64,
    last_id: u64,
    history: VecDeque<Arc<Said>>,
    /// With how many connections.
    people: BTreeMap<String, usize>,
    left_at: u64,
}

/// Somebody's connection to a room; it is left when this is dropped.
pub(crate) struct Seat {
    rooms: Arc<Rooms>,
    room: String,
    name: String,
}

impl Rooms {
    pub(crate) fn new(topics: Topics) -> Self {
        Rooms { topics, rooms: Mutex::default() }
    }

    /// Enters a room, and gives what its page is told of it first.
    pub(crate) fn enter(self: &Arc<Self>, room: &str, name: &str) -> Result<(Seat, String), Full> {
        let (welcome, id) = {
            let mut rooms = self.lock();
            make_way(&mut rooms, room)?;
            let here = rooms.entry(room.to_owned()).or_insert_with(Room::new);
            if here.people.len() >= MOST_PEOPLE && !here.people.contains_key(name) {
                return Err(Full);
            }
            let connections = here.people.entry(name.to_owned()).or_insert(0);
            *connections += 1;
            let id = (*connections == 1).then(|| here.next_id());
            (here.welcome(), id)
        };
        if let Some(id) = id {
            self.publish(room, &Event::Joined { id, name });
        }
        let seat = Seat { rooms: Arc::clone(self), room: room.to_owned(), name: name.to_owned() };
        Ok((seat, welcome))
    }

    /// Never called with the lock held: a room may have many people.
    fn publish(&self, room: &str, event: &Event<'_>) {
        if let Err(error) = self.topics.publish(room, json(event)) {
            lakh::core::warn(format_args!("chat: not everybody in {room:?} has got an event: {error}"));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    pub(crate) fn say(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        let said = {
            let mut rooms = self.rooms.lock();
            let Some(here) = rooms.get_mut(&self.room) else { return };
            let said = Said { id: here.next_id(), at: now(), name: self.name.clone(), text: text.to_owned() };
            let said = Arc::new(said);
            here.history.push_back(Arc::clone(&said));
            if here.history.len() > HISTORY {
                here.history.pop_front();
            }
            said
        };
        self.rooms.publish(&self.room, &Event::Said(&said));
    }

    /// The number of the event, if this was the last connection of that name.
    fn leave(&self) -> Option<u64> {
        let mut rooms = self.rooms.lock();
        let here = rooms.get_mut(&self.room)?;
        let connections = here.people.get_mut(&self.name)?;
        *connections -= 1;
        if *connections > 0 {
            return None;
        }
        here.people.remove(&self.name);
        here.left_at = now();
        Some(here.next_id())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(id) = self.leave() {
            self.rooms.publish(&self.room, &Event::Left { id, name: &self.name });
        }
    }
}

impl Room {
    fn new() -> Self {
        Room { since: now(), last_id: 0, history: VecDeque::new(), people: BTreeMap::new(), left_at: 0 }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn welcome(&self) -> String {
        json(&Event::Welcome {
            since: self.since,
            id: self.last_id,
            people: self.people.keys().map(String::as_str).collect(),
            history: self.history.iter().map(|said| &**said).collect(),
        })
    }
}

/// For a new room, forgets the one that has been empty for the longest time, if there are too many.
fn make_way(rooms: &mut HashMap<String, Room>, room: &str) -> Result<(), Full> {
    if rooms.contains_key(room) || rooms.len() < MOST_ROOMS {
        return Ok(());
    }
    let empty = rooms.iter().filter(|(_, room)| room.people.is_empty());
    let oldest = empty.min_by_key(|(_, room)| room.left_at).map(|(name, _)| name.clone());
    rooms.remove(&oldest.ok_or(Full)?);
    Ok(())
}

fn json(event: &Event<'_>) -> String {
    serde_json::to_string(event).expect("text and numbers")
}

fn now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
