use super::*;

#[test]
fn what_was_never_read_is_asked_soon_and_then_less_often() {
    let minute = Duration::from_secs(60);
    for (attempts, has_been_read, expected) in
        [(1, false, 1), (2, false, 2), (4, false, 8), (7, false, 60), (u32::MAX, false, 60), (1, true, 60)]
    {
        assert_eq!(wait(minute, attempts, has_been_read), Duration::from_secs(expected), "{attempts}");
    }
    assert_eq!(wait(FIRST / 2, 1, false), FIRST / 2);
}
