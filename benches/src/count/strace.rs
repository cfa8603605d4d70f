//! What `strace -c` writes, read: system calls by name.

use std::collections::BTreeMap;

/// System calls, by name.
pub(super) type Calls = BTreeMap<String, u64>;

/// Reads the table of `strace -c`.
///
/// ```text
/// % time     seconds  usecs/call     calls    errors syscall
/// ------ ----------- ----------- --------- --------- ----------------
///  51.02    0.012345           1     12800           sendto
///   1.00    0.000242           2       121       120 epoll_wait
/// ```
pub(super) fn read(table: &str) -> Calls {
    let mut calls = BTreeMap::new();
    for line in table.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, _, _, count, .., name] = words[..] else { continue };
        if let (Ok(count), true) = (count.parse(), name != "total") {
            calls.insert(name.to_owned(), count);
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a server that made 207 calls, 16 of them receives that brought nothing.
    const SAMPLE: &str = include_str!("samples/strace.txt");

    #[test]
    fn a_table_is_read_with_errors_and_without() {
        let calls = read(SAMPLE);
        let of = |name| calls.get(name).copied();
        assert_eq!(of("sendto"), Some(15));
        assert_eq!(of("read"), Some(23), "beside the column of errors");
        assert_eq!(of("epoll_ctl"), Some(38));
        assert_eq!(of("total"), None, "it is no call");
    }

    #[test]
    fn the_calls_of_a_table_are_as_many_as_it_says() {
        assert_eq!(read(SAMPLE).values().sum::<u64>(), 207);
    }
}
