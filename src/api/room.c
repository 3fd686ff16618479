/* placeholder, replaced by the room's first file */ typedef int api_room;
