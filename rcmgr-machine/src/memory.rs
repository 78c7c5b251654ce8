//! The lines of a simulated machine, by address, and what was counted on them.
//!
//! All cores run on one thread of the operating system, so their allocator is one thread's. On a real
//! machine each thread has a cache of free memory, and gets back the memory that it freed. So a value
//! that is announced by [`Memory::allocated`] gets lines from a pool of its core, whatever its address
//! is. All other lines are 64 bytes of addresses.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::panic::Location;

use crate::line::{Line, Served};
use crate::outcome::HotLine;
use crate::time::Time;

const LINE: usize = 64;

/// The least alignment of allocated memory. Two values never share these bytes.
const GRANULE: usize = 16;

type Site = &'static Location<'static>;
type Map<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// The lines, and where each address lies.
#[derive(Default)]
pub struct Memory {
    lines: Vec<Known>,
    /// The line of each granule that was used, as an index.
    granules: Map<usize, u32>,
    /// The line of each 64 bytes that belong to no announced value.
    plain: Map<usize, u32>,
    /// The announced values, by address.
    values: Map<usize, Value>,
    /// The lines that were freed, by core and size.
    pools: HashMap<(usize, usize), Vec<u32>>,
    /// The named memory: its end and its name, by its begin.
    names: BTreeMap<usize, (usize, String)>,
    /// What was counted, by line and address of the site.
    counts: Map<(u32, usize), (Site, Counts)>,
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
    /// The line of an address, as an index.
    pub fn find(&mut self, address: usize) -> u32 {
        let Self {
            lines,
            granules,
            plain,
            ..
        } = self;
        *granules.entry(address / GRANULE).or_insert_with(|| {
            *plain.entry(address / LINE).or_insert_with(|| {
                let line = Line::default();
                lines.push(Known { line, address });
                last(lines)
            })
        })
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
        let first_line = free.unwrap_or_else(|| {
            let first = self.lines.len() as u32;
            // The value may begin anywhere in its first line.
            for _ in 0..size.div_ceil(LINE) + 1 {
                let line = Line::owned_by(core);
                self.lines.push(Known { line, address });
            }
            first
        });
        let before = address % LINE;
        for offset in (0..size).step_by(GRANULE) {
            let line = first_line + ((before + offset) / LINE) as u32;
            self.granules.insert((address + offset) / GRANULE, line);
        }
        let value = Value {
            core,
            size,
            first_line,
        };
        self.values.insert(address, value);
    }

    pub fn name(&mut self, address: usize, size: usize, name: String) {
        self.names.insert(address, (address + size, name));
    }

    /// Counts an access that took time beyond its own cost.
    pub fn count_served(&mut self, line: u32, site: Site, at: Time, served: &Served) {
        let counts = self.counts(line, site);
        counts.transfers += u64::from(served.is_transfer);
        counts.lost += served.end.since(at);
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
        let named = self.names.range(..=address).next_back();
        match named.filter(|(_, (end, _))| address < *end) {
            Some((_, (_, name))) => format!("{name} at {places}"),
            None => places,
        }
    }
}

/// The part of a path after `src/`.
fn short(file: &str) -> &str {
    file.rsplit_once("src/").map_or(file, |(_, short)| short)
}

fn last(lines: &[Known]) -> u32 {
    (lines.len() - 1) as u32
}

/// A hasher for a few numbers. It is fast, and the same in every run.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(byte.into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
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
