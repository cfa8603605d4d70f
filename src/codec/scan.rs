//! Finding a byte that is likely to be near: the end of a line.
//!
//! It knows bytes; it does not know what the one it looks for means.
//!
//! ```text
//!     [ 16 bytes ][ 16 bytes ][ 16 bytes ][ 16 bytes ][ ................ ]
//!     looked at here, without a call                    left to `memchr`
//! ```

/// How many bytes are compared at once.
const CHUNK: usize = 16;

/// How far is looked here.
const NEAR: usize = 4 * CHUNK;

/// Finds the first `byte`.
///
/// Most lines are short, and for them the call of `memchr`, which takes the last few bytes of its input one by
/// one, costs more than the search.
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "a lazy one has a way out for each byte")]
pub(super) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    let near = &bytes[..bytes.len().min(NEAR)];
    let mut passed = 0;
    for chunk in near.chunks_exact(CHUNK) {
        // Without a way out before its end this becomes one comparison of 16 bytes.
        if chunk.iter().fold(false, |found, &other| found | (other == byte)) {
            return find_in_two_words(byte, chunk).map(|at| passed + at);
        }
        passed += CHUNK;
    }
    find_behind(byte, bytes, passed)
}

/// Finds the first `byte` behind the first `passed` bytes, which hold none.
// Out of line, so that what is above is small enough to stand where it is used.
#[inline(never)]
fn find_behind(byte: u8, bytes: &[u8], passed: usize) -> Option<usize> {
    let rest = bytes.len() - passed;
    if rest == 0 {
        return None;
    }
    if rest < CHUNK {
        // The last chunk may begin among what was passed.
        let from = bytes.len().saturating_sub(CHUNK);
        return find_in_two_words(byte, &bytes[from..]).map(|at| from + at);
    }
    memchr::memchr(byte, &bytes[passed..]).map(|at| passed + at)
}

/// Finds the first `byte` of at most sixteen, by two words, which overlap if there are fewer.
#[inline]
fn find_in_two_words(byte: u8, bytes: &[u8]) -> Option<usize> {
    let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        return bytes.iter().position(|&other| other == byte);
    };
    if let Some(at) = find_in_word(byte, *first) {
        return Some(at);
    }
    find_in_word(byte, *last).map(|at| bytes.len() - last.len() + at)
}

/// Finds the first `byte` of eight, by the well-known test for a zero byte in a word.
#[inline]
fn find_in_word(byte: u8, word: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let word = u64::from_le_bytes(word) ^ (ONES * u64::from(byte));
    // The lowest bit that is set is true; those above it may come from a borrow.
    let zeros = word.wrapping_sub(ONES) & !word & (ONES * 0x80);
    if zeros == 0 {
        return None;
    }
    Some(zeros.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_one_is_found_wherever_it_is() {
        for byte in [0x00, b'\n', 0x7f, 0x80, 0xff_u8] {
            // Around it, with the top bit, and both: what the arithmetic on words could mistake for it.
            let fillers = [byte ^ 1, byte.wrapping_sub(1), byte.wrapping_add(1), byte ^ 0x80, byte ^ 0x81];
            for filler in fillers {
                for length in 0..150 {
                    let mut bytes = vec![filler; length];
                    assert_eq!(find(byte, &bytes), None);
                    for at in (0..length).rev() {
                        // One more than it, behind it, is what a borrow reaches first.
                        bytes[at..].fill(byte ^ 1);
                        bytes[at] = byte;
                        assert_eq!(find(byte, &bytes), Some(at), "{byte:#x} at {at} of {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn of_several_the_first_is_found() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let one_in = [2, 20, 100][rng.usize(..3)];
            let bytes: Vec<u8> = (0..rng.usize(..200))
                .map(|_| if rng.usize(..one_in) == 0 { b'\n' } else { rng.u8(..) })
                .collect();
            assert_eq!(find(b'\n', &bytes), bytes.iter().position(|&byte| byte == b'\n'), "{bytes:?}");
        }
    }
}
