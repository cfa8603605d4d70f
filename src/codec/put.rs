//! Where encoders write to: anything that bytes can be appended to.
//!
//! It knows appending and byte order; it does not know what is behind it, a `Vec`, a `BytesMut` or the send
//! queue of a connection. What was written cannot be changed or read back.

use bytes::BytesMut;

/// Appends bytes, and numbers in either byte order.
///
/// Network byte order (big-endian) is the plain name, as in the `bytes` crate; `_le` is little-endian.
pub trait Put {
    /// Appends `bytes`.
    fn put_slice(&mut self, bytes: &[u8]);

    /// Appends `head` and, behind it, `body`: two calls in one, for what can look for room once.
    #[inline]
    fn put_both(&mut self, head: &[u8], body: &[u8]) {
        self.put_slice(head);
        self.put_slice(body);
    }

    /// Appends one byte.
    fn put_u8(&mut self, n: u8) {
        self.put_slice(&[n]);
    }

    /// Appends two bytes, big-endian (`htons`).
    fn put_u16(&mut self, n: u16) {
        self.put_slice(&n.to_be_bytes());
    }

    /// Appends two bytes, little-endian.
    fn put_u16_le(&mut self, n: u16) {
        self.put_slice(&n.to_le_bytes());
    }

    /// Appends four bytes, big-endian (`htonl`).
    fn put_u32(&mut self, n: u32) {
        self.put_slice(&n.to_be_bytes());
    }

    /// Appends four bytes, little-endian.
    fn put_u32_le(&mut self, n: u32) {
        self.put_slice(&n.to_le_bytes());
    }

    /// Appends eight bytes, big-endian.
    fn put_u64(&mut self, n: u64) {
        self.put_slice(&n.to_be_bytes());
    }

    /// Appends eight bytes, little-endian.
    fn put_u64_le(&mut self, n: u64) {
        self.put_slice(&n.to_le_bytes());
    }

    /// Appends two bytes of a number with a sign, big-endian.
    fn put_i16(&mut self, n: i16) {
        self.put_slice(&n.to_be_bytes());
    }

    /// Appends two bytes of a number with a sign, little-endian.
    fn put_i16_le(&mut self, n: i16) {
        self.put_slice(&n.to_le_bytes());
    }

    /// Appends four bytes of a number with a sign, big-endian.
    fn put_i32(&mut self, n: i32) {
        self.put_slice(&n.to_be_bytes());
    }

    /// Appends four bytes of a number with a sign, little-endian.
    fn put_i32_le(&mut self, n: i32) {
        self.put_slice(&n.to_le_bytes());
    }

    /// Appends eight bytes of a number with a sign, big-endian.
    fn put_i64(&mut self, n: i64) {
        self.put_slice(&n.to_be_bytes());
    }

    /// Appends eight bytes of a number with a sign, little-endian.
    fn put_i64_le(&mut self, n: i64) {
        self.put_slice(&n.to_le_bytes());
    }

    /// Appends the four bytes of a floating-point number (IEEE 754), big-endian.
    fn put_f32(&mut self, n: f32) {
        self.put_slice(&n.to_be_bytes());
    }

    /// Appends the four bytes of a floating-point number (IEEE 754), little-endian.
    fn put_f32_le(&mut self, n: f32) {
        self.put_slice(&n.to_le_bytes());
    }

    /// Appends the eight bytes of a floating-point number (IEEE 754), big-endian.
    fn put_f64(&mut self, n: f64) {
        self.put_slice(&n.to_be_bytes());
    }

    /// Appends the eight bytes of a floating-point number (IEEE 754), little-endian.
    fn put_f64_le(&mut self, n: f64) {
        self.put_slice(&n.to_le_bytes());
    }
}

impl Put for Vec<u8> {
    #[inline]
    fn put_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Put for BytesMut {
    #[inline]
    fn put_slice(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl<P: Put + ?Sized> Put for &mut P {
    fn put_slice(&mut self, bytes: &[u8]) {
        (**self).put_slice(bytes);
    }

    fn put_both(&mut self, head: &[u8], body: &[u8]) {
        (**self).put_both(head, body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_the_order_their_name_says() {
        let mut out = Vec::new();
        out.put_u8(1);
        out.put_u16(0x0203);
        out.put_u16_le(0x0203);
        out.put_u32(0x0405_0607);
        out.put_u32_le(0x0405_0607);
        out.put_u64(8);
        out.put_u64_le(8);
        assert_eq!(out[..13], [1, 2, 3, 3, 2, 4, 5, 6, 7, 7, 6, 5, 4]);
        assert_eq!(out[13..], [0, 0, 0, 0, 0, 0, 0, 8, 8, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn numbers_with_a_sign_or_a_point_are_written_likewise() {
        let mut out = Vec::new();
        out.put_i16(-2);
        out.put_i16_le(-2);
        out.put_i32(-2);
        out.put_i32_le(-2);
        assert_eq!(out, [255, 254, 254, 255, 255, 255, 255, 254, 254, 255, 255, 255]);
        out.clear();
        out.put_i64(i64::MIN);
        out.put_i64_le(i64::MIN);
        assert_eq!(out, [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]);
        out.clear();
        out.put_f32(1.0);
        out.put_f32_le(1.0);
        out.put_f64(-2.0);
        out.put_f64_le(-2.0);
        assert_eq!(out[..8], [0x3f, 0x80, 0, 0, 0, 0, 0x80, 0x3f]);
        assert_eq!(out[8..], [0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc0]);
    }

    #[test]
    fn whatever_grows_can_be_written_to_also_when_it_is_borrowed() {
        fn write(mut out: impl Put) {
            out.put_slice(b"hello");
        }
        let (mut vec, mut bytes) = (b"> ".to_vec(), BytesMut::from("> "));
        write(&mut vec);
        write(&mut bytes);
        assert_eq!((&*vec, &*bytes), (&b"> hello"[..], &b"> hello"[..]));
        Put::put_both(&mut &mut vec, b", ", b"world");
        bytes.put_both(b", ", b"world");
        assert_eq!((&*vec, &*bytes), (&b"> hello, world"[..], &b"> hello, world"[..]));
    }
}
