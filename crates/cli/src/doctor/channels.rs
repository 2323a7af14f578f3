//! Checks of the channels of the teams file.

use mergeline_domain::teams_file::TeamsFile;
use mergeline_http_client::NoAuthorities;
use mergeline_notifier::{Sender, SenderError};

use super::findings::{Check, Findings};
use super::settings::report;
use crate::environment::variable;
use crate::failure::Failure;

const NAME: &str = "channels";

/// Whether each channel has an address that can be used. Nothing is sent.
pub(super) fn check(file: &TeamsFile, findings: &mut Findings) -> Result<(), Failure> {
    let sender = match Sender::from_vars(variable, None) {
        Ok(sender) => sender,
        Err(SenderError::Problems(problems)) => return report(NAME, &problems, findings),
        Err(SenderError::NoAuthorities(error)) => {
            return findings.add(Check::error(NAME, error.to_string(), NoAuthorities::HELP));
        }
    };
    for channel in &file.channels {
        findings.add(match sender.problem_of(&channel.id, channel.kind) {
            None => {
                let message =
                    format!("{}: it has an address; `mergeline channels test {0}` sends a sample", channel.id);
                Check::ok(NAME, message)
            }
            Some(why) => {
                let help = concat!(
                    "see ",
                    page_of_docs!("messages.md"),
                    " for what CHANNELS, CHANNEL_HOSTS, MAIL_FROM and SMTP_URL hold"
                );
                Check::warning(NAME, format!("{}: {why}", channel.id), help)
            }
        })?;
    }
    let has_address = |id: &mergeline_domain::ChannelId| file.channels.iter().any(|channel| channel.id == *id);
    for id in sender.addresses().ids().filter(|id| !has_address(id)) {
        let message = format!("CHANNELS has an address for `{id}`, which is no channel of the teams file");
        findings.add(Check::warning(NAME, message, "take it out, or add the channel"))?;
    }
    Ok(())
}
