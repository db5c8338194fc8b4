"""The answers that hand out a secret or a signed link on purpose: endpoint -> which. A new line is a decision."""

from __future__ import annotations

HANDED_OUT: dict[str | None, str] = {
    "auth.register": "the first tokens",
    "auth.login": "tokens",
    "auth.refresh": "tokens",
    "api_keys.create_api_key": "the key, once",
    "webhooks.create_webhook": "its secret, once",
    "webhooks.rotate_webhook_secret": "its new secret, once",
    "invitations.create_invitation": "its token, once",
    "connections.create_connection": "the consent's address with its state, and the browser's nonce",
    "uploads.sign_upload_parts": "where the parts go in the bucket",
    "account_pages.show_password_reset": "the mailed token, in its form",
    "account_pages.show_invitation": "the mailed token, in its form",
    "callbacks.receive_deletion": "the code that shows whether it was done, for the person",
    "videos.list_videos": "links to the files",
    "videos.create_video": "links to the files",
    "videos.get_video": "links to the files",
    "videos.edit_video": "links to the files",
    "videos.archive_video": "a link to the thumbnail",
    "videos.get_video_file": "the way to the file",
    "videos.get_video_thumbnail": "the way to the thumbnail",
    "videos.choose_video_thumbnail": "links to the files",
    "videos.put_video_thumbnail": "links to the files",
    "receipts.get_target_receipt": "a link to its page",
}

# Refusals that repeat a secret to whoever sent it.
REPEATED: dict[str | None, str] = {
    "account_pages.take_password_reset": "the mailed token, in the form that is shown again",
    "account_pages.take_invitation": "the mailed token, in the form that is shown again",
}
