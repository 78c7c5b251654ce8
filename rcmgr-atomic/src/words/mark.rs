//! A mark: 64 bits that tell most peers from each other.

/// The last eight bytes of an id, where ids differ most, with the highest bit set: it is never
/// zero.
#[inline]
pub fn mark_of(id: &[u8]) -> u64 {
    let end = id.iter().rev().take(size_of::<u64>());
    end.fold(0, |mark, &byte| mark << 8 | u64::from(byte)) | 1 << 63
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_never_zero_and_tells_the_ends_of_ids_apart() {
        assert_ne!(mark_of(&[0]), 0);
        assert_ne!(mark_of(b"peer-1"), mark_of(b"peer-2"));
        assert_eq!(
            mark_of(b"a-long-prefix-12345678"),
            mark_of(b"another-12345678")
        );
    }
}
