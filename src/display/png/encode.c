/* The PNG encoder: libpng behind one function; see encode.h. Threads: any, no state. */
#include "display/png/encode.h"

#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "core/module.h"

MODULE_DEFINE();

struct job {
	FILE *file;
	int errnum; /* of the write that failed */
	char *reason;
};

/* libpng's way out of its functions: they do not return an error. */
static void fail(png_structp png, png_const_charp message)
{
	struct job *job = png_get_error_ptr(png);

	snprintf(job->reason, 128, "%s", message);
	longjmp(png_jmpbuf(png), 1);
}

static void ignore_warning(png_structp png, png_const_charp message)
{
	(void)png;
	(void)message;
}

static void write_bytes(png_structp png, png_bytep data, size_t length)
{
	struct job *job = png_get_io_ptr(png);

	if (fwrite(data, 1, length, job->file) == length)
		return;
	job->errnum = errno;
	png_error(png, strerror(job->errnum));
}

static void flush_bytes(png_structp png)
{
	(void)png;
}

static void encode(png_structp png, png_infop info, const uint32_t *pixels, uint32_t width,
	uint32_t height, uint32_t stride_pixels)
{
	png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
		PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_set_sRGB(png, info, PNG_sRGB_INTENT_PERCEPTUAL);
	/* A desktop is flat areas and repeated rows: the cheapest filters and a low level come out
	 * nearly as small as the best, in a fraction of the time. */
	png_set_compression_level(png, 3);
	png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE | PNG_FILTER_SUB);
	png_write_info(png, info);
	/* The surface's pixels as they lie in memory: blue, green, red, nothing. */
	png_set_filler(png, 0, PNG_FILLER_AFTER);
	png_set_bgr(png);
	for (uint32_t y = 0; y < height; y++)
		png_write_row(png, (png_const_bytep)(pixels + (size_t)y * stride_pixels));
	png_write_end(png, NULL);
}

int vmgui_png_encode(FILE *file, const uint32_t *pixels, uint32_t width, uint32_t height,
	uint32_t stride_pixels, char reason[128])
{
	struct job job = { .file = file, .errnum = 0, .reason = reason };
	png_structp volatile png = NULL;
	png_infop volatile info = NULL;
	int volatile result = -ENOMEM;

	snprintf(reason, 128, "out of memory");
	png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &job, fail, ignore_warning);
	if (!png)
		return result;
	if (setjmp(png_jmpbuf(png))) {
		result = job.errnum ? -job.errnum : -EINVAL;
	} else {
		info = png_create_info_struct(png);
		if (info) {
			png_set_write_fn(png, &job, write_bytes, flush_bytes);
			encode(png, info, pixels, width, height, stride_pixels);
			result = 0;
		}
	}
	png_destroy_write_struct((png_structpp)&png, (png_infopp)&info);
	return result;
}
