//! The form in which a hall's stage and warnings lie in tables and caches: JSON, to which members may be added. Must never refuse a
//! hall for what it cannot read of them: seats are sold without.

use onsale_engine::plan::{Stage, StageSource};
use onsale_engine::ports::catalogue::HallWarning;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Serialize, Deserialize)]
pub(crate) struct StageForm {
    x: f32,
    y: f32,
    source: String,
}

/// See the module.
#[derive(Serialize, Deserialize)]
pub(crate) struct WarningForm {
    code: String,
    message: String,
    count: u32,
}

impl From<Stage> for StageForm {
    fn from(stage: Stage) -> Self {
        Self { x: stage.x, y: stage.y, source: stage.source.word().to_owned() }
    }
}

impl StageForm {
    pub(crate) fn stage(self) -> Option<Stage> {
        Some(Stage { x: self.x, y: self.y, source: StageSource::of_word(&self.source)? })
    }
}

impl From<&HallWarning> for WarningForm {
    fn from(warning: &HallWarning) -> Self {
        Self { code: warning.code.clone(), message: warning.message.clone(), count: warning.count }
    }
}

impl From<WarningForm> for HallWarning {
    fn from(form: WarningForm) -> Self {
        Self { code: form.code, message: form.message, count: form.count }
    }
}

/// A stage as tables keep it.
pub(crate) fn stage_text(stage: Option<Stage>) -> Option<String> {
    serde_json::to_string(&StageForm::from(stage?)).ok()
}

/// A stage as it was kept.
pub(crate) fn read_stage(text: Option<&str>) -> Option<Stage> {
    serde_json::from_str::<StageForm>(text?).ok()?.stage()
}

/// Warnings as tables keep them.
pub(crate) fn warnings_text(warnings: &[HallWarning]) -> String {
    let forms: Vec<WarningForm> = warnings.iter().map(WarningForm::from).collect();
    serde_json::to_string(&forms).unwrap_or_else(|_| "[]".to_owned())
}

/// Warnings as they were kept.
pub(crate) fn read_warnings(text: &str) -> Vec<HallWarning> {
    serde_json::from_str::<Vec<WarningForm>>(text).unwrap_or_default().into_iter().map(HallWarning::from).collect()
}
