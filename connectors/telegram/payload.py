"""Just the fields of Telegram's updates that we use; all others are skipped without looking at them.

Source: core.telegram.org/bots/api, Bot API 10.0, read 2026-11.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, field

#: Telegram promises at most 52 significant bits; anything beyond is no id.
Id = Annotated[int, Meta(ge=-(2**53), le=2**53)]
#: Seconds since 1970; any number is taken and clamped later.
Seconds = Annotated[int, Meta(ge=-(2**53), le=2**53)]


class User(Struct, frozen=True, gc=False):
    id: Id
    is_bot: bool = False
    first_name: str = ""
    last_name: str = ""
    username: str = ""
    language_code: str = ""


class Chat(Struct, frozen=True, gc=False):
    id: Id
    type: str = "private"
    title: str = ""
    first_name: str = ""
    last_name: str = ""
    username: str = ""


class PhotoSize(Struct, frozen=True, gc=False):
    file_id: str
    width: Id = 0
    height: Id = 0
    file_size: Id = 0


class File(Struct, frozen=True, gc=False):
    """Document, video, audio, voice, animation and video note alike."""

    file_id: str
    mime_type: str = ""
    file_name: str = ""
    file_size: Id = 0


class Sticker(Struct, frozen=True, gc=False):
    file_id: str
    is_animated: bool = False
    is_video: bool = False
    emoji: str = ""
    file_size: Id = 0


class Point(Struct, frozen=True, gc=False):
    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


class Venue(Struct, frozen=True, gc=False):
    location: Point
    title: str = ""
    address: str = ""


class SharedContact(Struct, frozen=True, gc=False):
    phone_number: str
    first_name: str = ""
    last_name: str = ""
    user_id: Id | None = None


class Origin(Struct, frozen=True, gc=False):
    """Where a forwarded message came from: one of four kinds, each with another field."""

    sender_user: User | None = None
    sender_user_name: str = ""
    sender_chat: Chat | None = None
    chat: Chat | None = None


class Button(Struct, frozen=True, gc=False):
    text: str = ""
    callback_data: str = ""


class Keyboard(Struct, frozen=True, gc=False):
    inline_keyboard: tuple[tuple[Button, ...], ...] = ()


class Reference(Struct, frozen=True, gc=False):
    """A message of which we need the id only."""

    message_id: Id


class Message(Struct, frozen=True, gc=False):
    message_id: Id
    chat: Chat
    date: Seconds = 0
    from_: User | None = field(name="from", default=None)
    sender_business_bot: User | None = None
    business_connection_id: str = ""
    edit_date: Seconds = 0
    media_group_id: str = ""
    reply_to_message: Reference | None = None
    forward_origin: Origin | None = None
    text: str = ""
    caption: str = ""
    photo: tuple[PhotoSize, ...] = ()
    animation: File | None = None
    audio: File | None = None
    document: File | None = None
    sticker: Sticker | None = None
    video: File | None = None
    video_note: File | None = None
    voice: File | None = None
    contact: SharedContact | None = None
    location: Point | None = None
    venue: Venue | None = None
    migrate_to_chat_id: Id | None = None
    migrate_from_chat_id: Id | None = None


class AskedMessage(Struct, frozen=True, gc=False):
    """The message under whose button somebody pressed; date 0 and nothing else if Telegram no longer has it."""

    message_id: Id
    chat: Chat
    business_connection_id: str = ""
    reply_markup: Keyboard | None = None


class CallbackQuery(Struct, frozen=True, gc=False):
    id: str
    from_: User = field(name="from")
    message: AskedMessage | None = None
    data: str = ""


class Member(Struct, frozen=True, gc=False):
    status: str


class MemberChange(Struct, frozen=True, gc=False):
    chat: Chat
    from_: User = field(name="from")
    new_chat_member: Member
    date: Seconds = 0


class ReactionType(Struct, frozen=True, gc=False):
    type: str
    emoji: str = ""


class Reaction(Struct, frozen=True, gc=False):
    chat: Chat
    message_id: Id
    new_reaction: tuple[ReactionType, ...]
    user: User | None = None
    date: Seconds = 0


class BusinessRights(Struct, frozen=True, gc=False):
    can_reply: bool = False


class BusinessConnection(Struct, frozen=True, gc=False):
    id: str
    is_enabled: bool = False
    rights: BusinessRights | None = None


class DeletedMessages(Struct, frozen=True, gc=False):
    business_connection_id: str
    chat: Chat
    message_ids: tuple[Id, ...] = ()


class Update(Struct, frozen=True, gc=False):
    update_id: Id
    message: Message | None = None
    edited_message: Message | None = None
    callback_query: CallbackQuery | None = None
    my_chat_member: MemberChange | None = None
    message_reaction: Reaction | None = None
    business_connection: BusinessConnection | None = None
    business_message: Message | None = None
    edited_business_message: Message | None = None
    deleted_business_messages: DeletedMessages | None = None


#: What we ask Telegram for; it must be explicit, because reactions are not in its default.
ALLOWED_UPDATES: Final = tuple(name for name in Update.__struct_fields__ if name != "update_id")

# fmt: off
#: Fields of a message that say who, where and how, but not what.
ENVELOPE: Final = frozenset((
    "message_id", "message_thread_id", "direct_messages_topic", "from", "sender_chat", "sender_boost_count", "sender_business_bot",
    "sender_tag", "date", "business_connection_id", "chat", "forward_origin", "is_topic_message", "is_automatic_forward",
    "reply_to_message", "external_reply", "quote", "reply_to_story", "reply_to_checklist_task_id", "via_bot", "edit_date",
    "has_protected_content", "is_from_offline", "is_paid_post", "media_group_id", "author_signature", "paid_star_count", "entities",
    "caption_entities", "link_preview_options", "suggested_post_info", "effect_id", "show_caption_above_media", "has_media_spoiler",
    "reply_markup", "text", "caption",
))

#: Things that happen to a chat and that nobody said: no message for a shop.
SERVICE: Final = frozenset((
    "new_chat_members", "left_chat_member", "new_chat_title", "new_chat_photo", "delete_chat_photo", "group_chat_created",
    "supergroup_chat_created", "channel_chat_created", "message_auto_delete_timer_changed", "pinned_message", "chat_owner_left",
    "chat_owner_changed", "write_access_allowed", "proximity_alert_triggered", "boost_added", "chat_background_set",
    "forum_topic_created", "forum_topic_edited", "forum_topic_closed", "forum_topic_reopened", "general_forum_topic_hidden",
    "general_forum_topic_unhidden", "video_chat_scheduled", "video_chat_started", "video_chat_ended",
    "video_chat_participants_invited", "paid_message_price_changed", "direct_message_price_changed", "connected_website",
))
# fmt: on

update_decoder: Final = msgspec.json.Decoder(Update)
#: For names of fields that we do not know: keys only, values untouched.
keys_decoder: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
