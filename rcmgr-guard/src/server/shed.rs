//! What happens to sessions that are over a lowered limit: the longest idle are closed, if that is set.

use std::sync::Arc;

use super::control::Control;

pub(super) async fn watch(control: Arc<Control>) {
    let _ = control.sheds();
}
