/* placeholder, replaced by the room's first file */ typedef int worker_room;
