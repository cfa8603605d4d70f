//! What valgrind's dhat says at the end, read: how much was allocated, and how much of it was left.

/// Allocations of one process, or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heap {
    /// How often memory was allocated. What grows in its place counts once.
    pub(super) blocks: u64,
    /// How many bytes in all.
    pub(super) bytes: u64,
    /// How many of them were still there at the end.
    pub(super) left: u64,
}

impl Heap {
    /// Adds what the log of one process says.
    pub(super) fn read(&mut self, log: &str) -> Option<()> {
        let (bytes, blocks) = find(log, "Total:")?;
        let (left, _) = find(log, "At t-end:")?;
        self.blocks += blocks;
        self.bytes += bytes;
        self.left += left;
        Some(())
    }
}

/// Bytes and blocks in `==7== Total:     314,815 bytes in 166 blocks`.
fn find(log: &str, label: &str) -> Option<(u64, u64)> {
    let line = log.lines().find_map(|line| line.split_once(label))?.1;
    let mut numbers = line.split_whitespace().filter_map(|word| word.replace(',', "").parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_of_several_processes_are_added() {
        let log = "==7== Command: server\n==7== \n==7== Total:     314,815 bytes in 166 blocks\n\
                   ==7== At t-gmax: 276,420 bytes in 16 blocks\n==7== At t-end:  276,400 bytes in 15 blocks\n";
        let mut heap = Heap::default();
        assert_eq!(heap.read(log), Some(()));
        assert_eq!(heap.read(log), Some(()));
        assert_eq!(heap, Heap { blocks: 332, bytes: 629_630, left: 552_800 });
    }

    #[test]
    fn a_log_without_totals_is_no_answer() {
        assert_eq!(Heap::default().read("==7== Command: server\n"), None);
    }
}
