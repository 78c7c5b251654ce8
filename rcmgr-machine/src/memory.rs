//! The lines of a simulated machine, by address, and what was counted on them.
//!
//! All cores run on one thread of the operating system, so their allocator is one thread's. On a real
//! machine each thread has a cache of free memory, and gets back the memory that it freed. So a value
//! that is announced by [`Memory::allocated`] gets lines from a pool of its core, whatever its address
//! is. All other lines are 64 bytes of addresses.

use std::collections::{BTreeMap, HashMap};
use std::panic::Location;

use parking_lot::Mutex;

use crate::line::Line;
use crate::map::Map;
use crate::outcome::HotLine;
use crate::time::Time;

pub const LINE: usize = 64;

/// The least alignment of allocated memory. Two values never share these bytes.
const GRANULE: usize = 16;

type Site = &'static Location<'static>;

/// The lines, and where each address lies.
#[derive(Default)]
pub struct Memory {
    /// The number of the first announcement that counts.
    since: u64,
    lines: Vec<Known>,
    /// The line of each granule that was used, as an index.
    granules: Map<usize, u32>,
    /// The line of each 64 bytes that belong to no announced value.
    plain: Map<usize, u32>,
    /// The announced values, by address.
    values: Map<usize, Value>,
    /// The lines that were freed, by core and size.
    pools: HashMap<(usize, usize), Vec<u32>>,
    /// What was counted, by line and address of the site.
    counts: Map<(u32, usize), (Site, Counts)>,
}

/// What threads announced, in a run and before.
static ANNOUNCED: Mutex<Announced> = Mutex::new(Announced {
    count: 0,
    names: BTreeMap::new(),
    values: BTreeMap::new(),
});

struct Announced {
    /// The number of announcements.
    count: u64,
    /// The named memory, by its begin.
    names: BTreeMap<usize, Announcement<String>>,
    /// The values that were allocated before a run, by their begin.
    values: BTreeMap<usize, Announcement<()>>,
}

struct Announcement<T> {
    end: usize,
    /// Its number. A run ignores those from before it was prepared: the memory may be freed since.
    number: u64,
    what: T,
}

/// The number of announcements so far.
pub fn announcements() -> u64 {
    ANNOUNCED.lock().count
}

impl Announced {
    /// The begin and the end of the value that the address belongs to.
    fn value(&self, address: usize, since: u64) -> Option<(usize, usize)> {
        let (begin, value) = find(&self.values, address, since)?;
        Some((begin, value.end))
    }

    fn name(&self, address: usize, since: u64) -> Option<&str> {
        let (_, name) = find(&self.names, address, since)?;
        Some(&name.what)
    }
}

fn find<T>(
    all: &BTreeMap<usize, Announcement<T>>,
    address: usize,
    since: u64,
) -> Option<(usize, &Announcement<T>)> {
    let (&begin, found) = all.range(..=address).next_back()?;
    (address < found.end && found.number >= since).then_some((begin, found))
}

fn announce<T>(
    all: &mut BTreeMap<usize, Announcement<T>>,
    number: u64,
    address: usize,
    size: usize,
    what: T,
) {
    let end = address + size;
    // These are of memory that was freed.
    let old: Vec<_> = all.range(address..end).map(|(&begin, _)| begin).collect();
    old.iter().for_each(|begin| _ = all.remove(begin));
    all.insert(address, Announcement { end, number, what });
}

/// Names memory.
pub fn name(address: usize, size: usize, name: String) {
    let announced = &mut *ANNOUNCED.lock();
    let number = announced.count;
    announced.count += 1;
    announce(&mut announced.names, number, address, size, name);
}

/// A value was allocated before a run. Its lines belong to no other value.
pub fn allocated_before(address: usize, size: usize) {
    let announced = &mut *ANNOUNCED.lock();
    let number = announced.count;
    announced.count += 1;
    announce(&mut announced.values, number, address, size, ());
}

struct Known {
    line: Line,
    /// An address in it.
    address: usize,
}

struct Value {
    core: usize,
    size: usize,
    first_line: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    transfers: u64,
    failed: u64,
    lost: Time,
}

impl Memory {
    /// Without lines. Announcements count from this number on.
    pub fn new(since: u64) -> Self {
        Self {
            since,
            ..Self::default()
        }
    }

    /// The line of an address, as an index.
    pub fn find(&mut self, address: usize) -> u32 {
        match self.granules.get(&(address / GRANULE)) {
            Some(&line) => line,
            None => self.find_first(address),
        }
    }

    /// The line of an address that was not used before.
    #[cold]
    fn find_first(&mut self, address: usize) -> u32 {
        if let Some((begin, end)) = ANNOUNCED.lock().value(address, self.since) {
            let first_line = self.add_lines(begin, end - begin, Line::default());
            self.place(begin, end - begin, first_line);
            return self.granules[&(address / GRANULE)];
        }
        let lines = &mut self.lines;
        let line = *self.plain.entry(address / LINE).or_insert_with(|| {
            let line = Line::default();
            lines.push(Known { line, address });
            (lines.len() - 1) as u32
        });
        self.granules.insert(address / GRANULE, line);
        line
    }

    /// Adds lines for a value. Returns the first.
    fn add_lines(&mut self, address: usize, size: usize, line: Line) -> u32 {
        let first = self.lines.len() as u32;
        for number in 0..size.div_ceil(LINE) {
            let address = address + number * LINE;
            self.lines.push(Known { line, address });
        }
        first
    }

    /// Places a value on lines. It begins with the first one, wherever the allocator puts it, so that runs are
    /// the same.
    fn place(&mut self, address: usize, size: usize, first_line: u32) {
        for offset in (0..size).step_by(GRANULE) {
            let line = first_line + (offset / LINE) as u32;
            self.granules.insert((address + offset) / GRANULE, line);
        }
    }

    pub fn line(&mut self, at: u32) -> &mut Line {
        &mut self.lines[at as usize].line
    }

    /// A core has allocated a value. It gets lines that the core freed, or lines that are new and in
    /// the cache of this core.
    pub fn allocated(&mut self, core: usize, address: usize, size: usize) {
        if let Some(old) = self.values.remove(&address) {
            let pool = self.pools.entry((old.core, old.size)).or_default();
            pool.push(old.first_line);
        }
        let free = self.pools.get_mut(&(core, size)).and_then(Vec::pop);
        let first_line =
            free.unwrap_or_else(|| self.add_lines(address, size, Line::owned_by(core)));
        self.place(address, size, first_line);
        let value = Value {
            core,
            size,
            first_line,
        };
        self.values.insert(address, value);
    }

    pub fn forget_counts(&mut self) {
        self.counts.clear();
    }

    /// Counts a transfer, and the time that the core waited for it.
    pub fn count_served(&mut self, line: u32, site: Site, lost: Time) {
        let counts = self.counts(line, site);
        counts.transfers += 1;
        counts.lost += lost;
    }

    /// Counts a compare-and-swap that failed.
    pub fn count_failed(&mut self, line: u32, site: Site) {
        self.counts(line, site).failed += 1;
    }

    fn counts(&mut self, line: u32, site: Site) -> &mut Counts {
        let key = (line, std::ptr::from_ref(site).addr());
        &mut self
            .counts
            .entry(key)
            .or_insert((site, Counts::default()))
            .1
    }

    /// The lines on which the most time was lost, the worst first.
    pub fn hottest(&self) -> Vec<HotLine> {
        // By line: the sum, and the sites.
        let mut lines: BTreeMap<u32, (Counts, Vec<(Time, Site)>)> = BTreeMap::new();
        for (&(line, _), &(site, counts)) in &self.counts {
            let (sum, sites) = lines.entry(line).or_default();
            sum.transfers += counts.transfers;
            sum.failed += counts.failed;
            sum.lost += counts.lost;
            sites.push((counts.lost, site));
        }
        // Lines of the same name and sites count as one, such as the words of the leaves.
        let mut by_name: BTreeMap<String, HotLine> = BTreeMap::new();
        for (line, (sum, mut sites)) in lines {
            let name = self.describe(line, &mut sites);
            let hot = by_name.entry(name.clone()).or_insert_with(|| HotLine {
                name,
                ..HotLine::default()
            });
            hot.lines += 1;
            hot.transfers += sum.transfers;
            hot.failed_cas += sum.failed;
            hot.lost += sum.lost;
        }
        let mut all: Vec<_> = by_name.into_values().collect();
        all.sort_by(|one, other| (other.lost, &one.name).cmp(&(one.lost, &other.name)));
        all
    }

    /// The name of the memory, and the two places in the code that lost the most time there.
    fn describe(&self, line: u32, sites: &mut Vec<(Time, Site)>) -> String {
        let place = |site: Site| format!("{}:{}", short(site.file()), site.line());
        sites.sort_by_key(|&(lost, site)| (std::cmp::Reverse(lost), place(site)));
        let places: Vec<_> = sites.iter().take(2).map(|&(_, site)| place(site)).collect();
        let places = places.join(", ");
        let address = self.lines[line as usize].address;
        match ANNOUNCED.lock().name(address, self.since) {
            Some(name) => format!("{name} at {places}"),
            None => places,
        }
    }
}

/// The part of a path after `src/`.
fn short(file: &str) -> &str {
    file.rsplit_once("src/").map_or(file, |(_, short)| short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_64_bytes_share_a_line() {
        let mut memory = Memory::default();
        let first = memory.find(6400);
        assert_eq!(memory.find(6463), first);
        assert_ne!(memory.find(6464), first);
    }

    #[test]
    fn an_allocated_value_shares_its_lines_with_no_neighbour() {
        let mut memory = Memory::default();
        let neighbour = memory.find(6400);
        memory.allocated(1, 6416, 32);
        let own = memory.find(6416);
        assert_ne!(own, neighbour);
        assert_eq!(memory.find(6447), own);
        assert_eq!(memory.find(6448), neighbour);
        assert_eq!(memory.line(own).owner(), Some(1));
    }

    #[test]
    fn a_value_from_before_the_run_has_lines_of_its_own_and_no_owner() {
        // No other test uses these addresses.
        allocated_before(1 << 40, 32);
        name((1 << 40) + 64, 64, "system".to_owned());
        let since = announcements();
        let mut late = Memory::new(since);
        let [first, second] = [0, 32].map(|offset| late.find((1 << 40) + offset));
        assert_eq!(first, second, "they were announced before");

        let mut memory = Memory::default();
        let own = memory.find((1 << 40) + 16);
        let neighbour = memory.find((1 << 40) + 32);
        assert_ne!(own, neighbour);
        assert_eq!(memory.find(1 << 40), own);
        assert_eq!(memory.line(own).holders(), 0);

        let named = memory.find((1 << 40) + 100);
        memory.count_failed(named, Location::caller());
        memory.count_failed(own, Location::caller());
        let mut names: Vec<_> = memory.hottest().into_iter().map(|hot| hot.name).collect();
        names.sort();
        assert!(names[0].starts_with("memory.rs:"), "{names:?}");
        assert!(names[1].starts_with("system at memory.rs:"), "{names:?}");
    }

    #[test]
    fn a_core_gets_back_the_lines_that_it_freed() {
        let mut memory = Memory::default();
        memory.allocated(0, 6400, 48);
        let of_first = memory.find(6400);
        // The memory was freed, and another core has it now.
        memory.allocated(1, 6400, 48);
        let of_second = memory.find(6400);
        assert_ne!(of_second, of_first);
        memory.allocated(0, 12800, 48);
        assert_eq!(memory.find(12800), of_first);
        memory.allocated(0, 6400, 48);
        memory.allocated(1, 6400, 48);
        assert_eq!(memory.find(6400), of_second);
    }
}
