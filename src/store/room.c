/* placeholder, replaced by the room's first file */ typedef int store_room;
